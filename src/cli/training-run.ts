/**
 * A training run that survives interruption: a folder with run.json (options and a hash of the data) and
 * state.safetensors (weights, moments, step). A run that resumes takes its options from there; an option that says
 * otherwise is refused, for the rest of the run would not be the rest of that run.
 */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "../index.js";
import { parseSafetensors } from "../tensor/index.js";
import { folderStore, readJson, writeFileAtomic } from "../node/index.js";
import type { Io } from "./io.js";

/** Milliseconds between checkpoints. */
const CHECKPOINT_EVERY = 120_000;

export interface TrainingRun<O> {
  readonly options: O;
  /** The checkpoint to resume from. */
  readonly resume: Uint8Array | undefined;
  /** Steps it has done. */
  readonly resumedAt: number;
  /** Whether a checkpoint is due: every two minutes, and before an abort. */
  readonly due: () => boolean;
  save(checkpoint: Uint8Array): Promise<void>;
  /** Removes the checkpoint: the run is over and its result is written. */
  finish(): Promise<void>;
}

export interface TrainingRunOptions<O> {
  readonly folder: string;
  readonly resume: boolean;
  /** What the user said; undefined where nothing. Options that `defaults` lacks are no part of the run. */
  readonly given: object;
  readonly defaults: O;
  /** Hash of whatever the run trains on. */
  readonly dataHash: string;
}

export async function openRun<O extends object>(
  io: Io,
  { folder, resume, given, defaults, dataHash }: TrainingRunOptions<O>,
): Promise<TrainingRun<O>> {
  const store = folderStore(folder);
  const state = await store.read("state.safetensors");
  const said = Object.fromEntries(
    Object.entries(given).filter(([key, value]) => value !== undefined && key in defaults),
  ) as Partial<O> & Record<string, unknown>;
  let options: O = { ...defaults, ...said };
  if (state !== undefined && !resume) {
    throw new EarlyExitError(
      "run-exists",
      `${folder}: holds the checkpoint of an unfinished run; continue it with --resume, or delete the folder`,
      { folder },
    );
  }
  if (resume) {
    if (state === undefined) {
      throw new EarlyExitError("run-missing", `${folder}: there is no checkpoint to resume; start without --resume`, {
        folder,
      });
    }
    const stored = (await readJson(join(folder, "run.json"))) as {
      readonly options: O & Record<string, unknown>;
      readonly dataHash: string;
    };
    const differing = Object.keys(said).find(
      (key) => JSON.stringify(said[key]) !== JSON.stringify(stored.options[key]),
    );
    if (differing !== undefined) {
      throw new EarlyExitError(
        "run-differs",
        `${folder}: the run was started with ${differing} ${JSON.stringify(stored.options[differing])}, ` +
          `now ${JSON.stringify(said[differing])} is asked; leave the option out, or start afresh`,
        { differing },
      );
    }
    if (stored.dataHash !== dataHash) {
      throw new EarlyExitError(
        "run-differs",
        `${folder}: the run was started on another text; give the same, or start afresh`,
        { differing: "text" },
      );
    }
    options = stored.options;
  } else {
    await writeFileAtomic(
      join(folder, "run.json"),
      `${JSON.stringify({ format: "early-exits/training-run", version: 1, options, dataHash }, undefined, 2)}\n`,
    );
  }
  let saved = io.now();
  return {
    options,
    resume: state,
    resumedAt: state === undefined ? 0 : Number(parseSafetensors(state).metadata["step"]),
    due: () => io.signal.aborted || io.now() - saved >= CHECKPOINT_EVERY,
    async save(checkpoint) {
      await store.write("state.safetensors", checkpoint);
      saved = io.now();
    },
    finish: () => rm(folder, { recursive: true, force: true }),
  };
}

/** SHA-256 of documents, in order. */
export function hashDocuments(documents: readonly (string | readonly number[])[]): string {
  const hash = createHash("sha256");
  for (const document of documents) {
    hash.update(typeof document === "string" ? document : document.join(",")).update("\f");
  }
  return hash.digest("hex");
}
