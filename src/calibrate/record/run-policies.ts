/**
 * Runs candidate policies and counts what they do, for fills that change other tokens, which a recording does not show.
 * With a store, counts of earlier runs are read from it.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import type { CacheStore } from "../../exits/states/record-states.js";
import { sha256 } from "../../model/sha256.js";
import type { DocumentCounts, PolicyRuns, RunCandidates } from "./policy-runs.js";
import { type CalibrationDocument, countedAs, type HashedDocument, judgedLength, judgedTokens } from "./documents.js";
import { createJudge, type JudgeOptions } from "./judge.js";
import { judgedDocuments } from "./record.js";
import { describeSubject, judgeKey, requireScore, type Subject } from "./subject.js";

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
  const texts = await judgedDocuments(heads, documents, judgedLength(heads.model, options));
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
  const nameOf = ({ hash }: HashedDocument): Promise<string> => storeName(subject, sequenceLength, candidates, hash);
  const { runBatch } = await import("./runs/run-batch.js"); // loaded only when a program runs candidates
  const counts: DocumentCounts[] = [];
  const batches = batchesOf(texts, batchSize);
  const total = batches.length * thresholds.length;
  let done = 0;
  for (const batch of batches) {
    const stored = await Promise.all(batch.map(async (text) => parseCounts(await store?.read(await nameOf(text)))));
    const fresh = batch.filter((_, i) => keys.some((key) => stored[i]![key] === undefined));
    const before = done;
    const onCandidate = async (candidate: number): Promise<void> => {
      await onRun?.({ done: before + candidate + 1, total });
    };
    const ran =
      fresh.length === 0
        ? []
        : await runBatch(heads, fresh, candidates, { sequenceLength, judge, signal, onCandidate });
    for (const [i, text] of batch.entries()) {
      const known = stored[i]!;
      const place = fresh.indexOf(text);
      if (place >= 0) {
        for (const [c, key] of keys.entries()) known[key] = countsOf(ran[place]!, c, heads.depths.length);
        await store?.write(await nameOf(text), serializeCounts(known));
      }
      const all = keys.map((key) => known[key]!);
      counts.push({
        left: all.flatMap(({ left }) => left),
        wrong: all.flatMap(({ wrong }) => wrong),
        deep: all.flatMap(({ deep }) => deep),
      });
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
      tokens: judgedTokens(text, sequenceLength),
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

async function storeName(
  subject: Subject,
  sequenceLength: number,
  { score, fill }: Pick<RunCandidates, "score" | "fill">,
  hash: string,
): Promise<string> {
  const { modelHash, headsHash, dtype, backend, kernelBuild } = subject;
  const made = [modelHash, headsHash, dtype, backend, kernelBuild, sequenceLength, score, fill, hash];
  const digest = await sha256(JSON.stringify([...made, ...judgeKey(subject)]));
  return `run-${digest.slice(0, 32)}.json`;
}

/** By a candidate's thresholds, joined. */
type CountsByCandidate = Record<string, DocumentCounts>;

function countsOf({ left, wrong, deep }: DocumentCounts, candidate: number, exits: number): DocumentCounts {
  const own = (values: readonly number[]): readonly number[] =>
    values.slice(candidate * exits, (candidate + 1) * exits);
  return { left: own(left), wrong: own(wrong), deep: [deep[candidate]!] };
}

function parseCounts(bytes: Uint8Array | undefined): CountsByCandidate {
  return bytes === undefined ? {} : (JSON.parse(new TextDecoder().decode(bytes)) as CountsByCandidate);
}

function serializeCounts(counts: CountsByCandidate): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(counts));
}
