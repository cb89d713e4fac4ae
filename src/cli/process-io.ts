/**
 * The real `Io`: the streams and the clock of this process. The first SIGINT aborts the signal, so that commands keep
 * their state; the second ends the process.
 */
import type { Io } from "./io.js";

export function processIo(): Io {
  const { stdout, stderr, env } = process;
  const controller = new AbortController();
  process.on("SIGINT", () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error("interrupted"));
  });
  // A reader that closes the pipe (`| head`) is not an error.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return {
    stdout,
    stderr,
    isTTY: stderr.isTTY,
    now: () => Date.now(),
    color: wantsColor(env, stdout.isTTY),
    signal: controller.signal,
  };
}

/** FORCE_COLOR (unless "0" or "false") takes precedence over NO_COLOR (any non-empty value), that over the terminal. */
export function wantsColor(env: Readonly<Record<string, string | undefined>>, isTTY: boolean): boolean {
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  return isTTY && env["TERM"] !== "dumb";
}
