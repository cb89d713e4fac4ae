/**
 * Surroundings of a command: two streams, lines from the user, a clock, colours, an abort signal. Tests inject their
 * own. Results go to stdout, everything else to stderr.
 */
import { setImmediate } from "node:timers/promises";
import { styleText } from "node:util";

interface TextSink {
  write(text: string): unknown;
}

export interface Io {
  /** Text and results only. */
  readonly stdout: TextSink;
  /** Progress, telemetry, warnings. */
  readonly stderr: TextSink;
  /** Redraws one line of progress on a terminal; elsewhere, plain lines. */
  readonly isTTY: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly color: boolean;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** undefined on a terminal, from which nothing would come. */
  readonly readInput: () => Promise<string | undefined>;
  /** Dialogue that receives every SIGINT in place of `signal` until it is closed. */
  readonly openDialog: (onInterrupt: () => void) => Dialog;
}

export interface Dialog {
  /** Undefined at the end of the input, or once the dialogue is closed. A terminal shows the prompt. */
  ask(prompt: string): Promise<string | undefined>;
  close(): void;
}

export interface CommonOptions {
  /** One JSON object on stdout instead of text. */
  readonly json?: boolean | undefined;
}

/** Exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Throws a UsageError if what was asked for is illegal. */
export function refuseIf(illegal: boolean, sentence: string): void {
  if (illegal) throw new UsageError(sentence);
}

/** Its state is kept: exit status 130. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}

const STYLES = ["bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan", "underline"] as const;
type Style = (typeof STYLES)[number];
type Styles = Readonly<Record<Style, (text: string) => string>>;

export function colorsOf({ color }: Pick<Io, "color">): Styles {
  const apply = (style: Style, text: string): string =>
    color ? styleText(style, text, { validateStream: false }) : text; // `color` decides, not the stream
  return Object.fromEntries(STYLES.map((style) => [style, (text: string) => apply(style, text)])) as Styles;
}

/** Gives the event loop a turn: the kernels are synchronous and never yield by themselves. */
export async function breathe(): Promise<void> {
  await setImmediate();
}

export function note(io: Io, ...lines: readonly string[]): void {
  for (const line of lines) io.stderr.write(`${line}\n`);
}

export function writeResult(io: Io, { json }: CommonOptions, result: unknown, lines: readonly string[]): void {
  io.stdout.write(json ? `${JSON.stringify(result)}\n` : `${lines.join("\n")}\n`);
}
