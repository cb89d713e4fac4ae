/**
 * Candidate policies run with the decoder that `generate` uses. Every document is read from its first token on
 * (teacher-forced): at each position the policy emits a token, which is compared with the full model's on the same
 * prefix, computed with all keys and values; then the document's own next token follows. Several documents advance
 * together, one position of each at a time; each gets the tokens it would get alone.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { earlyExitDecoder } from "../../exits/decode/index.js";
import type { ExitHeads } from "../../exits/heads/index.js";
import { createPolicy, type Policy } from "../../exits/plan/index.js";
import { disposeBatch, hiddenBatch } from "../../exits/states/index.js";
import { createTeacher } from "../../exits/train/index.js";
import { type Choice, createSampler } from "../../model/decode/index.js";
import { cutWindows, type Model, Sequence } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";
import type { DocumentCounts, RunCandidates } from "./policy-runs.js";
import type { HashedDocument } from "./documents.js";
import { giveTurn } from "../../turns.js";

export interface RunBatchOptions {
  readonly sequenceLength: number;
  readonly signal: CancelSignal | undefined;
  /** Called after every candidate. */
  readonly onCandidate: (candidate: number) => Promise<void>;
}

/** Runs all candidates on a few documents. */
export async function runBatch(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { score, fill, thresholds }: RunCandidates,
  { sequenceLength, signal, onCandidate }: RunBatchOptions,
): Promise<DocumentCounts[]> {
  const exits = heads.depths.length;
  const windowsOf = texts.map(({ ids }) => cutWindows(heads.model, [ids], sequenceLength));
  const windows = windowsOf.flat();
  const documentOf = windowsOf.flatMap((own, document) => own.map(() => document));
  /** Tokens of the document before each window. */
  const offsets = windowsOf.flatMap((own) => own.map((_, w) => w * sequenceLength));
  const full = await fullArgmax(heads.model, windows);
  const counts = texts.map(() => ({
    left: new Array<number>(thresholds.length * exits).fill(0),
    wrong: new Array<number>(thresholds.length * exits).fill(0),
    deep: new Array<number>(thresholds.length).fill(0),
  }));
  for (const [candidate, vector] of thresholds.entries()) {
    // A policy that never exits is the full model: there is nothing to run.
    if (vector.some((threshold) => threshold !== "never")) {
      const choices = await runWindows(heads, windows, createPolicy(heads, vector, { score, fill }), signal);
      documentOf.forEach((document, w) => {
        const { left, wrong, deep } = counts[document]!;
        const before = offsets[w]!;
        choices[w]!.forEach(({ exit, id }, t) => {
          if (before + t < texts[document]!.from) return;
          const differs = Number(id !== full[w]![t]);
          if (exit === undefined) deep[candidate]! += differs;
          else {
            left[candidate * exits + exit]!++;
            wrong[candidate * exits + exit]! += differs;
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
  const batch = await hiddenBatch(model, windows, []);
  const teacher = await createTeacher(model, batch.final);
  teacher.logits.dispose();
  disposeBatch(batch);
  let at = 0;
  return windows.map(({ length }) => teacher.argmax.slice(at, (at += length)));
}

/** Runs one policy on several windows at once and returns the token it emits after every prefix. */
async function runWindows(
  heads: ExitHeads,
  windows: readonly (readonly number[])[],
  policy: Policy,
  signal: CancelSignal | undefined,
): Promise<Choice[][]> {
  const decoder = earlyExitDecoder(heads, policy);
  const sampler = createSampler({}, createRng(0)); // greedy: it draws nothing
  const lanes = windows.map((ids) => ({
    ids,
    sequence: new Sequence(heads.model, ids.length),
    choices: [] as Choice[],
  }));
  const longest = Math.max(...windows.map(({ length }) => length));
  try {
    for (let t = 0; t < longest; t++) {
      await giveTurn(signal);
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
