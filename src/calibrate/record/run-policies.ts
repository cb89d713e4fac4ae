/**
 * Runs candidate policies and counts what they do, for fills that change other tokens, which a recording does not show.
 * With a store, counts of earlier runs are read from it.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { findingName, isCount, jsonIn, jsonOf, readFinding, writeFinding } from "../../exits/states/findings.js";
import type { CacheStore } from "../../exits/states/record-states.js";
import { type DocumentCounts, joinCounts, type PolicyRuns, type RunCandidates } from "./policy-runs.js";
import { type CalibrationDocument, countedAs, hashDocuments, type HashedDocument, judgedLength } from "./documents.js";
import { createJudge, type Judge, type JudgeOptions } from "./judge.js";
import { describeSubject, madeOf, requireScore } from "./subject.js";

export interface RunPoliciesOptions extends JudgeOptions {
  /** Tokens up to which documents run: longer ones keep their beginning. @default 2048, or the context if shorter */
  readonly sequenceLength?: number;
  /** Documents of 256 tokens that advance together: fewer longer ones, and no more shorter ones. @default 16 */
  readonly batchSize?: number;
  /** A store for the counts of finished documents. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal | undefined;
  /** Called after every candidate of every batch of documents; a promise is awaited. */
  readonly onRun?: ((event: { readonly done: number; readonly total: number }) => unknown) | undefined;
}

/** Throws an OptionError if no document holds two tokens, or thresholds do not fit the heads. */
export async function runPolicies(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  candidates: RunCandidates,
  options: RunPoliciesOptions = {},
): Promise<PolicyRuns> {
  const texts = await hashDocuments(heads, documents, judgedLength(heads.model, options));
  return runHashed(heads, texts, candidates, options);
}

export async function runHashed(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { score, fill, thresholds }: RunCandidates,
  options: RunPoliciesOptions,
): Promise<PolicyRuns> {
  const { batchSize = 16, store, signal, onRun } = options;
  const sequenceLength = judgedLength(heads.model, options);
  requireInteger("runPolicies: batchSize", batchSize, 1);
  requireThresholds(thresholds, heads.depths.length);
  const judge = createJudge(heads.model, options);
  const subject = await describeSubject(heads, judge, signal);
  requireScore(subject, score);
  const candidates = { score, fill, thresholds };
  const keys = thresholds.map((vector) => vector.join());
  const nameOf = ({ hash }: HashedDocument) =>
    findingName("run", [...madeOf(subject), sequenceLength, score, fill, hash]);
  const known = async (text: HashedDocument): Promise<CountsByCandidate> => {
    const parse = (bytes: Uint8Array) => parseCounts(bytes, heads.depths.length, text, judge);
    return (store && (await readFinding(store, await nameOf(text), parse))) ?? {};
  };
  const { runBatch } = await import("./runs/run-batch.js"); // loaded only when a program runs candidates
  const counts: DocumentCounts[] = [];
  const batches = batchesOf(texts, batchSize);
  const total = batches.length * thresholds.length;
  let done = 0;
  for (const batch of batches) {
    const stored = await Promise.all(batch.map(known));
    const fresh = batch.filter((_, i) => keys.some((key) => stored[i]![key] === undefined));
    const before = done;
    const onCandidate = async (candidate: number) => {
      await onRun?.({ done: before + candidate + 1, total });
    };
    const ran = fresh.length === 0 ? [] : await runBatch(heads, fresh, candidates, { judge, signal, onCandidate });
    for (const [i, text] of batch.entries()) {
      const counted = stored[i]!;
      const place = fresh.indexOf(text);
      if (place >= 0) {
        for (const [c, key] of keys.entries()) counted[key] = ran[place]![c]!;
        if (store !== undefined) await writeFinding(store, await nameOf(text), jsonOf(counted));
      }
      counts.push(joinCounts(keys.map((key) => counted[key]!)));
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
    documents: texts.map((text, d) => ({
      ...countedAs(text),
      tokens: text.tokens,
      counts: counts[d]!,
    })),
  };
}

const BATCH_TOKENS = 256;

/** Memory grows with the tokens of a batch, so long documents run alone. */
function batchesOf(texts: readonly HashedDocument[], batchSize: number): HashedDocument[][] {
  const batches: HashedDocument[][] = [];
  let tokens = Infinity;
  for (const text of texts) {
    tokens += text.ids.length;
    if (tokens > batchSize * BATCH_TOKENS || batches.at(-1)!.length === batchSize) {
      batches.push([]);
      tokens = text.ids.length;
    }
    batches.at(-1)!.push(text);
  }
  return batches;
}

/** Throws an OptionError without candidates, or for one that does not fit the exits. */
export function requireThresholds(thresholds: RunCandidates["thresholds"], exits: number): void {
  const misfit = thresholds.find((vector) => vector.length !== exits);
  if (thresholds.length > 0 && misfit === undefined) return;
  const found =
    misfit === undefined
      ? "no candidates"
      : `${thresholds.length} candidates, one of them with ${misfit.length} thresholds`;
  throw new OptionError(
    "lengths-differ",
    `runPolicies: found ${found}; give at least one candidate, each with ${exits} thresholds`,
    { exits },
  );
}

/** By a candidate's thresholds, joined. */
type CountsByCandidate = Record<string, DocumentCounts>;

/** Undefined unless there are counts for every exit, and they add up to no more than the tokens. */
function parseCounts(
  bytes: Uint8Array,
  exits: number,
  { tokens }: HashedDocument,
  { lossScale }: Judge,
): CountsByCandidate | undefined {
  const found = jsonIn(bytes) as CountsByCandidate;
  const isLegal = ({ left, wrong, deep }: DocumentCounts): boolean => {
    if (![left.length, wrong.length].every((length) => length === exits) || deep.length !== 1) return false;
    if (!left.every((count) => isCount(count, tokens))) return false;
    const staying = tokens - left.reduce((sum, count) => sum + count, 0);
    return wrong.every((loss, e) => isCount(loss, lossScale * left[e]!)) && isCount(deep[0], lossScale * staying);
  };
  return Object.values(found).every(isLegal) ? found : undefined;
}
