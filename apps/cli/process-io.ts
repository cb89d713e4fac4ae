/**
 * The real `Io` of this process. The first SIGINT, SIGTERM or SIGHUP aborts the signal, so that commands keep their
 * state; the second ends the process.
 */
import { createInterface } from "node:readline";
import { type Dialog, type Io, refuseIf } from "./io.js";

export function processIo(): Io {
  const { stdout, stderr, env } = process;
  const controller = new AbortController();
  let dialogInterrupt: (() => void) | undefined;
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", () => {
    (dialogInterrupt ?? interrupt)();
  });
  for (const signal of ["SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (dialogInterrupt !== undefined) process.exit(143); // a dialogue has nothing to keep
      interrupt();
    });
  }
  stderr.on("error", () => undefined); // nobody reads progress any more
  // A reader that closes the pipe (`| head`) ends the program as SIGPIPE would: not with 0, for it may have failed.
  stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") process.exit(141);
    stderr.write(`error: stdout cannot be written (${code})\n`);
    process.exit(1);
  });
  return {
    stdout,
    stderr,
    isTTY: stderr.isTTY,
    now: () => Date.now(),
    color: wantsColor(env, stdout.isTTY),
    signal: controller.signal,
    readInput: async () => (process.stdin.isTTY ? undefined : readAll(process.stdin)),
    openDialog(onInterrupt) {
      dialogInterrupt = onInterrupt;
      const dialog = openReadline(onInterrupt);
      return {
        ...dialog,
        close() {
          dialogInterrupt = undefined;
          dialog.close();
        },
      };
    },
  };
}

/** Bytes of a text on stdin: more than any context holds. */
const MOST_INPUT = 4 * 2 ** 20;

async function readAll(stdin: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    chunks.push(chunk);
    bytes += chunk.length;
    refuseIf(bytes > MOST_INPUT, `stdin: holds more than ${MOST_INPUT} bytes; shorten the text`);
  }
  return Buffer.concat(chunks).toString();
}

/** Lines of stdin; on a terminal they can be edited and recalled, and Ctrl-C is a key. */
function openReadline(onInterrupt: () => void): Dialog {
  const { stdin, stderr } = process;
  const terminal = stdin.isTTY && stderr.isTTY;
  const reader = createInterface({ input: stdin, output: stderr, terminal });
  const lines: AsyncIterator<string, undefined> = reader[Symbol.asyncIterator]();
  let asking = false;
  let open = true; // whether input may still come
  let closed = false;
  reader.on("close", () => {
    open = false;
    if (terminal && asking) stderr.write("\n"); // the cursor is behind the prompt
  });
  reader.on("SIGINT", () => {
    onInterrupt();
    if (asking && open) reader.prompt(true);
  });
  return {
    async ask(prompt) {
      if (terminal && open) {
        reader.setPrompt(prompt);
        reader.prompt();
      }
      asking = true;
      const next = await lines.next();
      asking = false;
      return closed ? undefined : next.value;
    },
    close() {
      closed = true; // lines that were typed ahead are dropped
      reader.close();
    },
  };
}

/** FORCE_COLOR (unless "0" or "false") takes precedence over NO_COLOR (any non-empty value), that over the terminal. */
export function wantsColor(env: Readonly<Record<string, string | undefined>>, isTTY: boolean): boolean {
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  return isTTY && env["TERM"] !== "dumb";
}
