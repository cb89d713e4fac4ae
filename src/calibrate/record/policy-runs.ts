/**
 * Policies run as deployed, to count what they do where a recording cannot tell: with fills that change other tokens.
 * Every document is read from its first token on (teacher-forced): at each position the policy emits a token, which is
 * compared with the full model's on the same prefix, computed with all keys and values; then the document's own next
 * token follows. Several documents advance together, one position of each at a time, through the decoder that is
 * deployed; each gets what it would get alone. The result is a matrix of counts, document x candidate, that every
 * re-split of the documents reuses. With a store, documents that were run before are read from it, so that an
 * interrupted run goes on.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { type CacheStore, createTeacher, disposeBatch, hiddenBatch } from "../../exits/train/index.js";
import { cutWindows, type Document, type Model, Sequence, sha256 } from "../../model/index.js";
import { earlyExitDecoder } from "../../exits/decode/index.js";
import type { FillName } from "../../exits/fill/index.js";
import { type ExitHeads, type ScoreName, orientScore, type Threshold } from "../../exits/heads/index.js";
import { createPolicy } from "../../exits/plan/index.js";
import { type Choice, createSampler } from "../../model/decode/index.js";
import { createRng } from "../../tensor/index.js";
import { rawThreshold, type Tally, type ThresholdVector } from "../procedures/index.js";
import { type Evidence, judgedTokens } from "./evidence.js";
import { type HashedDocument, hashDocuments } from "./record.js";
import { describeSubject, requireScore, type Subject } from "./subject.js";

/** The policies to run: what they share, and the thresholds of each. */
export interface RunCandidates {
  readonly score: ScoreName;
  readonly fill: FillName;
  /** [candidates][exits], strictest first. */
  readonly thresholds: readonly (readonly Threshold[])[];
}

export interface RunPoliciesOptions {
  /** Tokens per window: a longer document is run window by window. @default 256, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** Documents that advance together. @default 16 */
  readonly batchSize?: number;
  /** Where counts of finished documents are kept. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal;
  /** Called after every candidate of every batch of documents; a promise is waited for. */
  readonly onRun?: (event: { readonly done: number; readonly total: number }) => unknown;
}

/** What every candidate did on one document. */
export interface DocumentCounts {
  /** [candidates, exits] */
  readonly left: readonly number[];
  readonly wrong: readonly number[];
  /** [candidates] differing tokens among those that ran all blocks. */
  readonly deep: readonly number[];
}

/** Plain, JSON-able. */
export interface PolicyRuns extends RunCandidates {
  readonly format: "early-exits/policy-runs";
  readonly version: 1;
  readonly subject: Subject;
  readonly sequenceLength: number;
  readonly documents: readonly { readonly hash: string; readonly tokens: number; readonly counts: DocumentCounts }[];
}

/**
 * Runs candidates over documents. Throws an OptionError where no document holds two tokens or thresholds do not fit the
 * heads.
 */
export async function runPolicies(
  heads: ExitHeads,
  documents: readonly Document[],
  candidates: RunCandidates,
  options: RunPoliciesOptions = {},
): Promise<PolicyRuns> {
  return runHashed(heads, await hashDocuments(heads, documents), candidates, options);
}

/** Evidence like `base`, but with tallies from runs. */
export function runEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  base: Evidence,
  fill: FillName,
  options: RunPoliciesOptions,
): Evidence {
  return {
    ...base,
    async tally(first, end, score, vectors) {
      const thresholds = vectors.map((vector) => vector.map((threshold) => rawThreshold(threshold, score)));
      return tallyRuns(await runHashed(heads, texts.slice(first, end), { score, fill, thresholds }, options));
    },
  };
}

/** Counts as the tests take them, of some of the documents, in this order. */
export function tallyRuns(
  { documents, thresholds, subject }: PolicyRuns,
  order: readonly number[] = documents.map((_, d) => d),
): Tally {
  const chosen = order.map((d) => documents[d]!);
  return {
    documents: chosen.length,
    candidates: thresholds.length,
    exits: subject.depths.length,
    tokens: Int32Array.from(chosen, ({ tokens }) => tokens),
    left: Int32Array.from(chosen.flatMap(({ counts }) => counts.left)),
    wrong: Int32Array.from(chosen.flatMap(({ counts }) => counts.wrong)),
    deep: Int32Array.from(chosen.flatMap(({ counts }) => counts.deep)),
    active: Uint8Array.from(thresholds.flatMap((vector) => vector.map((threshold) => (threshold === "never" ? 0 : 1)))),
  };
}

async function runHashed(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { score, fill, thresholds }: RunCandidates,
  options: RunPoliciesOptions,
): Promise<PolicyRuns> {
  const { maxPositionEmbeddings } = heads.model.config;
  const { sequenceLength = Math.min(256, maxPositionEmbeddings), batchSize = 16, store, signal, onRun } = options;
  requireInteger("runPolicies: sequenceLength", sequenceLength, 2, maxPositionEmbeddings);
  requireInteger("runPolicies: batchSize", batchSize, 1);
  const misfit = thresholds.find((vector) => vector.length !== heads.depths.length);
  if (thresholds.length === 0 || misfit !== undefined) {
    throw new OptionError(
      "lengths-differ",
      `runPolicies: ${thresholds.length} candidates, one with ${misfit?.length ?? 0} thresholds; give at least ` +
        `one, each with ${heads.depths.length}`,
      { exits: heads.depths.length },
    );
  }
  await heads.freeze();
  const subject = await describeSubject(heads);
  requireScore(subject, score);
  const nameOf = async ({ hash }: HashedDocument): Promise<string> => {
    const key = JSON.stringify([
      subject.modelHash,
      subject.headsHash,
      subject.dtype,
      subject.backend,
      sequenceLength,
      score,
      fill,
      thresholds,
      hash,
    ]);
    return `run-${(await sha256(new TextEncoder().encode(key))).slice(0, 32)}.json`;
  };
  const counts: DocumentCounts[] = [];
  const total = Math.ceil(texts.length / batchSize) * thresholds.length;
  for (let begin = 0, done = 0; begin < texts.length; begin += batchSize) {
    const batch = texts.slice(begin, begin + batchSize);
    const stored = await Promise.all(batch.map(async (text) => store?.read(await nameOf(text))));
    const fresh = batch.filter((_, i) => stored[i] === undefined);
    const run =
      fresh.length === 0
        ? []
        : await runBatch(heads, fresh, { score, fill, thresholds }, sequenceLength, signal, async (candidate) => {
            await onRun?.({ done: done + candidate + 1, total });
          });
    for (const [i, text] of batch.entries()) {
      const known = stored[i];
      const made =
        known === undefined
          ? run[fresh.indexOf(text)]!
          : (JSON.parse(new TextDecoder().decode(known)) as DocumentCounts);
      if (known === undefined) await store?.write(await nameOf(text), new TextEncoder().encode(JSON.stringify(made)));
      counts.push(made);
    }
    done += thresholds.length;
    if (fresh.length === 0) await onRun?.({ done, total });
  }
  return {
    format: "early-exits/policy-runs",
    version: 1,
    subject,
    score,
    fill,
    thresholds,
    sequenceLength,
    documents: texts.map(({ hash, ids }, d) => ({
      hash,
      tokens: judgedTokens(ids.length, sequenceLength),
      counts: counts[d]!,
    })),
  };
}

/** All candidates on a few documents. */
async function runBatch(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { score, fill, thresholds }: RunCandidates,
  sequenceLength: number,
  signal: CancelSignal | undefined,
  onCandidate: (candidate: number) => Promise<void>,
): Promise<DocumentCounts[]> {
  const exits = heads.depths.length;
  const windows = texts.flatMap(({ ids }, document) =>
    cutWindows(heads.model, [ids], sequenceLength).map((ids) => ({ ids, document })),
  );
  const full = await fullArgmax(
    heads.model,
    windows.map(({ ids }) => ids),
  );
  const counts = texts.map(() => ({
    left: new Array<number>(thresholds.length * exits).fill(0),
    wrong: new Array<number>(thresholds.length * exits).fill(0),
    deep: new Array<number>(thresholds.length).fill(0),
  }));
  for (const [candidate, vector] of thresholds.entries()) {
    // Without exits the policy is the full model: there is nothing to run.
    if (vector.some((threshold) => threshold !== "never")) {
      const choices = await runWindows(
        heads,
        windows.map(({ ids }) => ids),
        vector,
        score,
        fill,
        signal,
      );
      windows.forEach(({ document }, w) => {
        const { left, wrong, deep } = counts[document]!;
        choices[w]!.forEach(({ exit, id }, t) => {
          const differs = id !== full[w]![t];
          if (exit === undefined) deep[candidate]! += Number(differs);
          else {
            left[candidate * exits + exit]!++;
            wrong[candidate * exits + exit]! += Number(differs);
          }
        });
      });
    }
    await onCandidate(candidate);
  }
  return counts;
}

/** The full model's token after every prefix of every window. */
async function fullArgmax(model: Model, windows: readonly (readonly number[])[]): Promise<number[][]> {
  const batch = hiddenBatch(model, windows, []);
  const teacher = await createTeacher(model, batch.final);
  teacher.logits.dispose();
  disposeBatch(batch);
  let at = 0;
  return windows.map(({ length }) => teacher.argmax.slice(at, (at += length)));
}

/** One policy on several windows at once, by the decoder that is deployed: the token it emits after every prefix. */
async function runWindows(
  heads: ExitHeads,
  windows: readonly (readonly number[])[],
  thresholds: readonly Threshold[],
  score: ScoreName,
  fill: FillName,
  signal: CancelSignal | undefined,
): Promise<Choice[][]> {
  const decoder = earlyExitDecoder(heads, createPolicy(heads, thresholds, { score, fill }));
  const sampler = createSampler({}, createRng(0)); // greedy: it draws nothing
  const lanes = windows.map((ids) => ({
    ids,
    sequence: new Sequence(heads.model, ids.length),
    choices: [] as Choice[],
  }));
  try {
    for (let t = 0; t < Math.max(...windows.map(({ length }) => length)); t++) {
      signal?.throwIfAborted();
      const going = lanes.filter(({ ids }) => t < ids.length);
      for (const { sequence, ids } of going) sequence.append(ids[t]!);
      const rounds = await decoder.next(going.map(({ sequence }) => ({ sequence, sampler, room: 1 })));
      going.forEach(({ choices }, i) => choices.push(rounds[i]!.tokens[0]!));
    }
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
  return lanes.map(({ choices }) => choices);
}

/** Vectors on oriented score from the thresholds of runs. */
export function runVectors({ thresholds, score }: PolicyRuns): ThresholdVector[] {
  return thresholds.map((vector) => vector.map((threshold) => orientThreshold(threshold, score)));
}

function orientThreshold(threshold: Threshold, score: ScoreName): number {
  return threshold === "never" ? Infinity : threshold === "always" ? -Infinity : orientScore(threshold, score);
}

/** Some candidates of a tally; -1 is "never exit". */
export function pickVectors(tally: Tally, picked: readonly number[]): Tally {
  const { documents, candidates, exits } = tally;
  const pick = (from: Int32Array, width: number): Int32Array =>
    Int32Array.from({ length: documents * picked.length * width }, (_, i) => {
      const row = Math.floor(i / width);
      const column = i % width;
      const candidate = picked[row % picked.length]!;
      return candidate < 0 ? 0 : from[(Math.floor(row / picked.length) * candidates + candidate) * width + column]!;
    });
  const active = Uint8Array.from(
    picked.flatMap((candidate) =>
      Array.from({ length: exits }, (_, exit) => (candidate < 0 ? 0 : tally.active[candidate * exits + exit]!)),
    ),
  );
  return {
    ...tally,
    candidates: picked.length,
    left: pick(tally.left, exits),
    wrong: pick(tally.wrong, exits),
    deep: pick(tally.deep, 1),
    active,
  };
}
