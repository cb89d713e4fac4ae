/**
 * What a command may use besides its options: two streams, lines from the user, a clock, colours and an abort signal.
 * Tests inject their own; main.ts creates the real one. Results go to stdout, everything else to stderr.
 */
import { setImmediate } from "node:timers/promises";
import { styleText } from "node:util";

/** The part of a stream that commands use. */
export interface TextSink {
  write(text: string): unknown;
}

export interface Io {
  /** Text and results only. */
  readonly stdout: TextSink;
  /** Progress, telemetry, warnings. */
  readonly stderr: TextSink;
  /** Whether stderr is a terminal: progress redraws one line there, and prints plain lines elsewhere. */
  readonly isTTY: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly color: boolean;
  /** Aborted by the first SIGINT. */
  readonly signal: AbortSignal;
  /** All of stdin; undefined if it is a terminal, from which nothing would come. */
  readonly readInput: () => Promise<string | undefined>;
  /** Opens a dialogue, which receives every SIGINT in place of `signal` until it is closed. */
  readonly openDialog: (onInterrupt: () => void) => Dialog;
}

/** Lines from the user. */
export interface Dialog {
  /** The next line; undefined at the end of the input, or once the dialogue is closed. A terminal shows the prompt. */
  ask(prompt: string): Promise<string | undefined>;
  close(): void;
}

/** Options every command has. */
export interface CommonOptions {
  /** One JSON object on stdout instead of text. */
  readonly json?: boolean | undefined;
}

/** A command line that cannot be carried out as it is: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A command that was interrupted and kept its state: exit status 130. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}

const STYLES = ["bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan"] as const;
type Style = (typeof STYLES)[number];
type Styles = Readonly<Record<Style, (text: string) => string>>;

/** Functions that style text, or return it unchanged if the output has no colours. */
export function colorsOf({ color }: Pick<Io, "color">): Styles {
  const apply = (style: Style, text: string): string =>
    color ? styleText(style, text, { validateStream: false }) : text; // `color` decides, not the stream
  return Object.fromEntries(STYLES.map((style) => [style, (text: string) => apply(style, text)])) as Styles;
}

/** Lets the event loop run (signals, drawing): the kernels are synchronous and never yield by themselves. */
export async function breathe(): Promise<void> {
  await setImmediate();
}

/** One line of telemetry. */
export function note(io: Io, line: string): void {
  io.stderr.write(`${line}\n`);
}

/** The command's result: lines of text, or one JSON object for machines. */
export function writeResult(io: Io, { json }: CommonOptions, result: unknown, lines: readonly string[]): void {
  io.stdout.write(json ? `${JSON.stringify(result)}\n` : `${lines.join("\n")}\n`);
}
