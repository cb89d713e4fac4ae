/**
 * Data of `early-exits train`: given documents, or sampled answers that a file keeps; those held out; batches of
 * states, made as training goes or recorded in a folder.
 */
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ExitHeads, Model } from "early-exits";
import {
  type BatchSource,
  cachedBatches,
  type CacheStore,
  createShardWriter,
  recordHidden,
  selfAnswers,
  streamedBatches,
} from "early-exits/exits";
import { answerDocument, type Document, type MarkedDocument } from "early-exits/model";
import { fileExists, folderStore, type PromptLine, writeFileAtomic } from "early-exits/node";
import { createRng } from "early-exits/tensor";
import { hashDocuments } from "../documents.js";
import { count, speed } from "../format.js";
import { type Io, note } from "../io.js";
import { withProgress } from "../progress.js";

/** A batch mixes positions of one shard, which is in memory: some ten thousand positions of chat answers. */
const SHARDS = { windowsPerShard: 128 } as const;
const FEWEST_TO_HOLD_OUT = 20;
/** Repeated measurements must not take longer than training. */
const MOST_TO_HOLD_OUT = 100;

interface HeadData {
  readonly train: readonly Document[];
  /** Empty if there are few documents. */
  readonly held: readonly Document[];
}

/** Holds out a seeded share, in whole groups; both parts keep their order. */
export function holdOut(documents: readonly Document[], { seed, heldShare }: SplitRecipe): HeadData {
  const groups = documents.map((one) => (typeof one === "object" && "ids" in one ? one.group : undefined));
  const held = heldIndices(groups, { seed, heldShare });
  return {
    train: documents.filter((_, i) => !held.has(i)),
    held: documents.filter((_, i) => held.has(i)),
  };
}

interface SplitRecipe {
  readonly seed: number;
  readonly heldShare: number;
}

/**
 * Indices to hold out: a function of the seed, known before documents are sampled. A group that would make them too
 * many stays in training.
 */
function heldIndices(groups: readonly (string | undefined)[], { seed, heldShare }: SplitRecipe): ReadonlySet<number> {
  const documents = groups.length;
  if (documents < FEWEST_TO_HOLD_OUT) return new Set();
  const members = new Map<string | number, number[]>();
  groups.forEach((group, i) => members.set(group ?? i, [...(members.get(group ?? i) ?? []), i]));
  const most = Math.min(MOST_TO_HOLD_OUT, Math.round(heldShare * documents));
  const held = new Set<number>();
  for (const indices of createRng(seed)
    .fork("held out")
    .shuffle([...members.values()])) {
    if (held.size + indices.length > most) continue;
    for (const index of indices) held.add(index);
  }
  return held;
}

export const ANSWERS_TOGETHER = 16;

interface AnswerRecipe extends SplitRecipe {
  /** Prompts are used in turn. */
  readonly self: number;
  readonly selfTemperature: number;
  readonly selfTokens: number;
}

interface AnswerPlaces {
  /** JSON lines of prompt and answer; a run goes on after those it finds. */
  readonly file: string;
  /** Recorded depths and their folder. @default no states */
  readonly states?: { readonly folder: string; readonly depths: readonly number[] } | undefined;
}

export async function sampleAnswers(
  model: Model,
  prompts: readonly PromptLine[],
  recipe: AnswerRecipe,
  { file, states: kept }: AnswerPlaces,
  io: Io,
): Promise<Document[]> {
  const { self, selfTemperature: temperature, selfTokens: maxNewTokens, seed } = recipe;
  const asked = Array.from({ length: self }, (_, i) => prompts[i % prompts.length]!);
  const documents = await readAnswers(file);
  const held = heldIndices(
    asked.map(({ group }) => group),
    recipe,
  );
  const writer = kept && createShardWriter(model, kept.depths, folderStore(kept.folder), SHARDS);
  for (const [i, document] of documents.entries()) {
    if (!held.has(i)) await writer?.add(document, undefined);
  }
  const first = documents.length;
  if (first >= self) return documents.slice(0, self);
  if (first > 0) note(io, `${file}: ${count(first)} answers are there; sampling goes on after them`);
  await mkdir(dirname(file), { recursive: true });
  await withProgress(io, "sample", async (report) => {
    const started = io.now();
    let tokens = 0;
    const run = selfAnswers(
      model,
      asked.map(({ ids }) => ids),
      {
        temperature,
        maxNewTokens,
        batchSize: ANSWERS_TOGETHER,
        seed,
        first,
        signal: io.signal,
        ...(kept && { depths: kept.depths }),
      },
    );
    for await (const { index, prompt, answer, states } of run) {
      const { group } = asked[index]!;
      await appendFile(file, `${JSON.stringify({ prompt, answer, temperature, ...(group && { group }) })}\n`);
      const document = answerDocument(prompt, answer, group);
      documents.push(document);
      if (!held.has(index)) await writer?.add(document, states);
      tokens += answer.length;
      const rate = speed((1000 * tokens) / (io.now() - started));
      await report({ done: index + 1, total: self, text: `answers, ${rate}` });
    }
  });
  return documents;
}

/** Removes a last line that an interrupt has cut. */
async function readAnswers(file: string): Promise<MarkedDocument[]> {
  if (!(await fileExists(file))) return [];
  const text = await readFile(file, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole !== text) await writeFileAtomic(file, whole);
  const lines = whole.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const { prompt, answer, group } = JSON.parse(line) as { prompt: number[]; answer: number[]; group?: string };
    return answerDocument(prompt, answer, group);
  });
}

interface BatchRecipe {
  readonly batch: number;
  readonly sequence: number;
  readonly seed: number;
}

interface CacheSettings {
  readonly cache: string | undefined;
  /** Megabytes. @default no limit */
  readonly cacheLimit: number | undefined;
  /** Folder that has the states already. @default one named after the documents */
  readonly folder: string | undefined;
}

/** Documents that the model runs on in every step, or recorded states. */
export interface HeadSources {
  readonly train: readonly Document[] | BatchSource;
  readonly held: BatchSource | undefined;
}

function statesFolder(cache: string, documents: readonly Document[]): string {
  return join(cache, hashDocuments(documents).slice(0, 12));
}

/**
 * With a cache, states are recorded first unless they are there; with a limit, shards are recorded when needed, and
 * kept while there is room.
 */
export async function openSources(
  heads: ExitHeads,
  { train, held }: HeadData,
  { batch, sequence, seed }: BatchRecipe,
  { cache, cacheLimit, folder }: CacheSettings,
  io: Io,
): Promise<HeadSources> {
  const { model, depths: all } = heads;
  const depths = all.filter((depth) => depth < model.config.numLayers); // the final states are recorded in any case
  const options = { ...SHARDS, sequenceLength: sequence, rows: batch * sequence, seed, signal: io.signal };
  const heldStore = cache === undefined ? memoryStore() : folderStore(statesFolder(cache, held));
  const measured = held.length === 0 ? undefined : { ...options, store: heldStore };
  const heldSource = measured && streamedBatches(model, held, depths, measured);
  if (cache === undefined) return { train, held: heldSource };
  const store = folderStore(folder ?? statesFolder(cache, train));
  if (cacheLimit !== undefined) {
    const streamed = streamedBatches(model, train, depths, { ...options, store, maxBytes: 1e6 * cacheLimit });
    return { train: streamed, held: heldSource };
  }
  await withProgress(io, "record", async (report) => {
    const started = io.now();
    let rows = 0;
    await recordHidden(model, train, depths, store, {
      ...options,
      onShard: (event) => {
        if (!event.reused) rows += event.rows;
        const rate = event.reused ? "shards (kept)" : `shards, ${speed((1000 * rows) / (io.now() - started))}`;
        return report({ done: event.shard + 1, total: event.shards, text: rate });
      },
    });
  });
  return { train: { ...(await cachedBatches(model, depths, store, options)), text: train }, held: heldSource };
}

export function memoryStore(): CacheStore {
  const files = new Map<string, Uint8Array>();
  return {
    read: (name) => Promise.resolve(files.get(name)),
    write: (name, bytes) => Promise.resolve(void files.set(name, bytes)),
  };
}
