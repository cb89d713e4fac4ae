/**
 * A training run that survives an interrupt: a folder with run.json (options and a hash of the data) and
 * state.safetensors (weights, moments, step). A resumed run takes its options from there and refuses others: the result
 * would not be that of one uninterrupted run.
 */
import { appendFile, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "early-exits";
import { fileExists, folderStore, readJson, writeFileAtomic } from "early-exits/node";
import { parseSafetensors } from "early-exits/tensor";
import type { Io } from "../io.js";

/** Milliseconds between checkpoints. */
const CHECKPOINT_EVERY = 120_000;

export interface TrainingRun<O> {
  readonly options: O;
  readonly resume: Uint8Array | undefined;
  readonly resumedAt: number;
  /** Every two minutes, and before an abort. */
  readonly due: () => boolean;
  save(checkpoint: Uint8Array): Promise<void>;
  /** Removes the checkpoint, once the result is written. */
  finish(): Promise<void>;
}

interface TrainingRunOptions<O> {
  readonly folder: string;
  readonly resume: boolean;
  /** A finished file that a new run would overwrite, and whether it may. */
  readonly finished: string;
  readonly force: boolean;
  /** undefined if not given. Settings that `defaults` lacks do not belong to the run. */
  readonly given: object;
  readonly defaults: O;
  readonly dataHash: string;
}

/** Throws an EarlyExitError if the folder's run contradicts `resume`. */
export async function openRun<O extends object>(io: Io, request: TrainingRunOptions<O>): Promise<TrainingRun<O>> {
  const { folder, resume, defaults, dataHash } = request;
  await rm(doneName(folder), { recursive: true, force: true }); // of a run that was killed while it cleared up
  const store = folderStore(folder);
  const state = await store.read("state.safetensors");
  const given = Object.fromEntries(
    Object.entries(request.given).filter(([key, value]) => value !== undefined && key in defaults),
  ) as Partial<O> & Record<string, unknown>;
  let options: O = { ...defaults, ...given };
  if (state !== undefined && !resume) {
    throw new EarlyExitError(
      "run-exists",
      `${folder}: holds the checkpoint of an unfinished run; continue it with --resume, or delete the folder`,
      { folder },
    );
  }
  if (state === undefined && resume) {
    throw new EarlyExitError("run-missing", `${folder}: there is no checkpoint to resume; start without --resume`, {
      folder,
    });
  }
  if (!resume && !request.force && (await fileExists(request.finished))) {
    throw new EarlyExitError(
      "output-exists",
      `${request.finished}: this folder holds finished work, which a new run would overwrite; choose another --out, ` +
        "or overwrite it with --force",
      { path: request.finished },
    );
  }
  if (resume) options = await storedOptions(folder, given, dataHash);
  else {
    const run = { format: "early-exits/training-run", version: 1, options, dataHash };
    await writeFileAtomic(join(folder, "run.json"), `${JSON.stringify(run, undefined, 2)}\n`);
  }
  let savedAt = io.now();
  return {
    options,
    resume: state,
    resumedAt: state === undefined ? 0 : Number(parseSafetensors(state).metadata["step"]),
    due: () => io.signal.aborted || io.now() - savedAt >= CHECKPOINT_EVERY,
    async save(checkpoint) {
      await store.write("state.safetensors", checkpoint);
      savedAt = io.now();
    },
    async finish() {
      const done = doneName(folder);
      await rename(folder, done); // from here on there is no checkpoint, however long its removal takes
      await rm(done, { recursive: true, force: true });
    },
  };
}

function doneName(folder: string): string {
  return `${folder}.done`;
}

/** Throws if run.json contradicts what was given, or the data differ. */
async function storedOptions<O extends object>(
  folder: string,
  given: Readonly<Record<string, unknown>>,
  dataHash: string,
): Promise<O> {
  const stored = (await readJson(join(folder, "run.json"))) as {
    readonly options: O & Record<string, unknown>;
    readonly dataHash: string;
  };
  const show = (value: unknown) => JSON.stringify(value);
  const differing = Object.keys(given).find((key) => show(given[key]) !== show(stored.options[key]));
  if (differing !== undefined) {
    throw new EarlyExitError(
      "run-differs",
      `${folder}: the run was started with ${differing} ${show(stored.options[differing])}, now it is ` +
        `${show(given[differing])}; leave out the option, or start a new run`,
      { differing },
    );
  }
  if (stored.dataHash !== dataHash) {
    throw new EarlyExitError(
      "run-differs",
      `${folder}: the run was started on another text; pass that text, or start a new run`,
      { differing: "text" },
    );
  }
  return stored.options;
}

export type Append = (entry: Readonly<Record<string, unknown>> & { readonly step: number }) => Promise<void>;

/**
 * Appends JSON lines, after cutting those beyond the step at which a run resumes, or left unfinished by a killed
 * process.
 */
export async function openLog(path: string, resumedAt: number): Promise<Append> {
  const before = resumedAt === 0 ? "" : await readFile(path, "utf8").catch(() => "");
  const kept = before.split("\n").filter((line) => stepOf(line) <= resumedAt);
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
  return (entry) => appendFile(path, `${JSON.stringify(entry)}\n`);
}

/** Infinity for an incomplete line. */
function stepOf(line: string): number {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === "number" ? step : Infinity;
  } catch {
    return Infinity;
  }
}
