/**
 * Errors on the command line: one sentence on stderr (the stack with `debug`), one JSON object on stdout with `json`,
 * an exit status.
 */
import { EarlyExitError } from "early-exits";
import { InterruptedError, type Io, UsageError } from "./io.js";

/** 0: done; 1: the library refused or failed; 2: usage; 130: interrupted (128 + SIGINT). */
export type ExitCode = 0 | 1 | 2 | 130;

export interface ErrorOptions {
  /** The files that --policy named. */
  readonly policy?: string | readonly string[] | undefined;
  readonly debug?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** Never throws. */
export async function exitCodeOf(
  io: Io,
  command: () => Promise<unknown>,
  { debug = false, json = false, policy }: ErrorOptions = {},
): Promise<ExitCode> {
  try {
    await command();
    return 0;
  } catch (error) {
    const interrupted = io.signal.aborted;
    const { code, message: said, details } = describe(error);
    const message = policy !== undefined && said.startsWith("policy: ") ? `${String(policy)}: ${said}` : said;
    const sentence = interrupted && !(error instanceof InterruptedError) ? "interrupted" : message;
    const stack = debug && error instanceof Error ? error.stack : undefined;
    io.stderr.write(`${stack ?? (interrupted ? sentence : `error: ${sentence}`)}\n`);
    const shown = { code: interrupted ? "interrupted" : code, message: sentence, details };
    if (json) io.stdout.write(`${JSON.stringify({ error: shown })}\n`);
    if (interrupted) return 130;
    return error instanceof UsageError ? 2 : 1;
  }
}

function describe(error: unknown): { code: string; message: string; details: unknown } {
  if (error instanceof EarlyExitError) {
    const { code, message, details } = error;
    return {
      code,
      message: `${message.replace("as the option template", "with --template FILE")}${budgetFlag(details)}`,
      details,
    };
  }
  if (error instanceof UsageError) return { code: "usage", message: error.message, details: {} };
  if (error instanceof InterruptedError) return { code: "interrupted", message: error.message, details: {} };
  if (error instanceof Error && "syscall" in error) return { code: "system", message: error.message, details: {} };
  // None of the library's errors: a bug.
  return {
    code: "unexpected",
    message: `${error instanceof Error ? error.message : String(error)} (unexpected; --debug shows where)`,
    details: {},
  };
}

/** The option that raises the limit which a file exceeds. */
function budgetFlag({ budget, found, length }: Readonly<Record<string, unknown>>): string {
  if (typeof budget !== "string") return "";
  return ` (on the command line: --budgets ${budget}=${Math.ceil(Number(found ?? length))})`;
}
