/** An `Io` that records, a clock that advances when it is read, and small files to run commands on. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { Io } from "../../apps/cli/io.js";
import { main } from "../../apps/cli/program.js";
import { pretrainFolder, type PretrainSettings, pretrainText } from "../../lab/ship/pretrain-folder.js";
import { scratch } from "../support/scratch.js";
import { times } from "../support/lists.js";

export { scratch };

export interface TestIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
  /** Does what SIGINT would. */
  readonly interrupt: () => void;
}

export interface TestIoOptions {
  readonly color?: boolean;
  readonly isTTY?: boolean;
  /** Milliseconds by which the clock advances when it is read. @default 1 */
  readonly tick?: number;
  /** Called with everything written to stderr. */
  readonly onErr?: (text: string, io: TestIo) => void;
  /** Called with everything written to stdout. */
  readonly onOut?: (text: string, io: TestIo) => void;
  /** Lines that the user types; "^C" is an interrupt. */
  readonly lines?: readonly string[];
  /** Content of stdin. @default a terminal */
  readonly input?: string;
}

export function testIo({
  color = false,
  isTTY = false,
  tick = 1,
  onErr,
  onOut,
  lines = [],
  input,
}: TestIoOptions = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const controller = new AbortController();
  const typed = [...lines];
  let dialogInterrupt: (() => void) | undefined;
  let time = Date.UTC(2026, 0, 1);
  const dialogOrAbort = () => {
    if (dialogInterrupt === undefined) controller.abort(new Error("interrupted"));
    else dialogInterrupt();
  };
  const io: TestIo = {
    stdout: {
      write(text: string) {
        out.push(text);
        onOut?.(text, io);
      },
    },
    stderr: {
      write(text: string) {
        err.push(text);
        onErr?.(text, io);
      },
    },
    color,
    isTTY,
    now: () => (time += tick),
    signal: controller.signal,
    out: () => out.join(""),
    err: () => err.join(""),
    interrupt: dialogOrAbort,
    readInput: () => Promise.resolve(input),
    openDialog(onInterrupt) {
      dialogInterrupt = onInterrupt;
      return {
        ask() {
          while (typed[0] === "^C" && dialogInterrupt !== undefined) {
            typed.shift();
            onInterrupt();
          }
          return Promise.resolve(dialogInterrupt === undefined ? undefined : typed.shift());
        },
        close: () => (dialogInterrupt = undefined),
      };
    },
  };
  return io;
}

const state = mkdtempSync(join(tmpdir(), "early-exits-state-"));
process.env["EARLY_EXITS_STATE"] = state;
process.once("exit", () => rmSync(state, { recursive: true, force: true }));

/** An `Io` that is interrupted when stderr says something; its clock runs so fast that every step is reported. */
export function interruptedAt(said: string) {
  return testIo({ tick: 5000, onErr: (text, io) => (text.includes(said) ? io.interrupt() : undefined) });
}

/**
 * A command line as words: the literal parts are split at blanks, a value stays one word, a list is spread.
 * words`train ${folder} --depths 1,2`
 */
export function words(literals: TemplateStringsArray, ...values: readonly (string | readonly string[])[]) {
  return literals.flatMap((literal, i) => [
    ...literal.split(/\s+/).filter((word) => word !== ""),
    ...(i < values.length ? [values[i]!].flat() : []),
  ]);
}

/** Runs a command line; returns its exit status and what it wrote. */
export async function cli(line: readonly string[], options: TestIoOptions = {}) {
  const io = testIo(options);
  const code = await main(line, io);
  return { code, out: io.out(), err: io.err() };
}

/** A command line as a process, from the sources; what it writes is in `ended` once it ends. */
export function startProcess(args: readonly string[]) {
  const root = join(import.meta.dirname, "..", "..");
  const line = ["--import", "tsx", join(root, "apps", "cli", "main.ts"), ...args];
  const child = spawn(process.execPath, line, { cwd: root, env: { ...process.env, FORCE_COLOR: undefined } });
  const written = { out: "", err: "" };
  child.stdout.on("data", (data: Buffer) => (written.out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (written.err += data.toString()));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, ...written }));
  return { child, ended };
}

/** Runs a command line that must end with exit status 0. */
export async function succeed(line: readonly string[], options: TestIoOptions = {}) {
  const { code, out, err } = await cli(line, options);
  expect(code, `${line.join(" ")}\n${err}`).toBe(0);
  return { out, err };
}

/** Runs a command line that must end with this exit status; returns what it wrote to stderr. */
export async function refused(line: readonly string[], status = 1) {
  const { code, err } = await cli(line);
  expect(code, `${line.join(" ")}\n${err}`).toBe(status);
  return err;
}

export function parseJson(json: string) {
  return JSON.parse(json) as Record<string, unknown>;
}

const WORDS = ["the house", "a river", "our union", "the winter", "one people", "this land"];
const VERBS = ["holds", "follows", "remembers", "leaves"];

/** Documents of simple sentences, the same every time. */
export function sentences(count: number, from = 0) {
  return times(count, (i) =>
    times(6, (j) => {
      // Scrambled, so that no document is a copy of another.
      const n = Math.imul((from + i) * 6 + j + 1, 0x9e3779b1) >>> 8;
      return `${WORDS[n % 6]!} ${VERBS[(n >> 3) % 4]!} ${WORDS[(n >> 9) % 6]!}.`;
    }).join(" "),
  );
}

export function writeText(path: string, documents: readonly string[]) {
  writeFileSync(path, documents.join("\n\n"));
  return path;
}

/** A model that trains in a second. */
export const tinyModel = {
  ...{ layers: 3, hidden: 16, heads: 2, kvHeads: 1, intermediate: 32, context: 64, vocab: 280 },
  ...{ batch: 4, sequence: 32, validateEvery: 10, lr: 0.02, device: "reference" },
} as const satisfies Partial<PretrainSettings>;

/** Pretrains a tiny model on a text file, and writes its folder. */
export async function pretrainTiny(text: string, settings: PretrainSettings, io: Io = testIo()) {
  await pretrainFolder(await pretrainText(text, 1), { ...tinyModel, ...settings }, io);
}

/**
 * A tiny model with heads after blocks 1 and 2 and the paper's policy for 60 % agreement, made by the commands. `text`
 * and `held` are training text and held-out text; `train` is the command line that made the heads, without --out.
 */
export async function pipeline() {
  const folder = scratch();
  process.env["EARLY_EXITS_STATE"] = folder.path("state"); // files that share a process have the same policies
  const model = folder.path("model");
  const heads = folder.path("heads");
  const policy = folder.path("policy.json");
  const text = writeText(folder.path("text.txt"), sentences(60));
  const held = writeText(folder.path("held.txt"), sentences(12, 100));
  const train = words`
    train ${model} --text ${text} --depths 1,2 --steps 12 --batch 4 --sequence 32 --project normalized
    --device reference`;
  await pretrainTiny(text, { out: model, steps: 30 });
  await succeed(words`${train} --out ${heads}`);
  await succeed(words`
    calibrate ${model} --heads ${heads} --text ${held} --paper --agreement .6 --out ${policy}
    --device reference`);
  return { folder, model, heads, policy, text, held, train };
}
