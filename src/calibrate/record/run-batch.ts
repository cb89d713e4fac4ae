/**
 * Candidate policies run with the decoder that `generate` uses. Every document is read from its first token on
 * (teacher-forced): at each position the policy emits a token, which is compared with the reference's on the same
 * prefix, computed with all keys and values (or the distribution that it would be drawn from is compared with the
 * reference's); then the document's own next token follows. Several documents advance
 * together, one position of each at a time; each gets the tokens it would get alone.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { earlyExitDecoder } from "../../exits/decode/index.js";
import type { ExitHeads } from "../../exits/heads/index.js";
import { createPolicy, type Policy } from "../../exits/plan/index.js";
import { disposeBatch, hiddenBatch, locatedIn, outcomeOf } from "../../exits/states/index.js";
import { nonFiniteError, rowOf } from "../../model/decode/index.js";
import { cutWindows, Sequence } from "../../model/index.js";
import { scope } from "../../tensor/index.js";
import { embedding } from "../../tensor/ops/index.js";
import { type Judge, judgedDistribution, lossOf, observedSampler } from "./judge.js";
import type { DocumentCounts, RunCandidates } from "./policy-runs.js";
import type { HashedDocument } from "./documents.js";
import { giveTurn } from "../../turns.js";

export interface RunBatchOptions {
  readonly sequenceLength: number;
  readonly judge: Judge;
  readonly signal: CancelSignal | undefined;
  /** Called after every candidate. */
  readonly onCandidate: (candidate: number) => Promise<void>;
}

/** Runs all candidates on a few documents. */
export async function runBatch(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { score, fill, thresholds }: RunCandidates,
  { sequenceLength, judge, signal, onCandidate }: RunBatchOptions,
): Promise<DocumentCounts[]> {
  const exits = heads.depths.length;
  const windowsOf = texts.map(({ ids }) => cutWindows(heads.model, [ids], sequenceLength));
  const windows = windowsOf.flat();
  const documentOf = windowsOf.flatMap((own, document) => own.map(() => document));
  /** Tokens of the document before each window. */
  const offsets = windowsOf.flatMap((own) => own.map((_, w) => w * sequenceLength));
  const counts = texts.map(() => ({
    left: new Array<number>(thresholds.length * exits).fill(0),
    wrong: new Array<number>(thresholds.length * exits).fill(0),
    deep: new Array<number>(thresholds.length).fill(0),
  }));
  const truth = await referenceOn(judge, windows, signal);
  for (const [candidate, vector] of thresholds.entries()) {
    // A policy that never exits is the full model: against that there is nothing to run.
    if (judge.other || vector.some((threshold) => threshold !== "never")) {
      await runWindows(
        heads,
        windows,
        createPolicy(heads, vector, { score, fill }),
        { judge, truth, signal },
        (w, t, token) => {
          if (offsets[w]! + t < texts[documentOf[w]!]!.from) return;
          const { left, wrong, deep } = counts[documentOf[w]!]!;
          if (token.exit === undefined) deep[candidate]! += token.loss;
          else {
            left[candidate * exits + token.exit]!++;
            wrong[candidate * exits + token.exit]! += token.loss;
          }
        },
      );
    }
    await onCandidate(candidate);
  }
  truth.dispose();
  return counts;
}

/** What the reference says on the windows of a batch. */
interface Truth {
  /** Its tokens after every prefix of window w, if tokens are the argmax. */
  readonly argmax: readonly (readonly number[])[] | undefined;
  /** Its distributions after position t of some windows. */
  readonly distributions: (windows: readonly number[], t: number) => Promise<Float64Array[]>;
  dispose(): void;
}

/**
 * Runs the reference on all windows; for sampled text its final states stay, and logits follow when they are needed.
 */
async function referenceOn(
  judge: Judge,
  windows: readonly (readonly number[])[],
  signal: CancelSignal | undefined,
): Promise<Truth> {
  const { reference } = judge;
  const { vocabSize } = reference.config;
  const batch = await hiddenBatch(reference, windows, { depths: [] }, signal);
  const starts: number[] = [];
  windows.reduce((start, { length }) => {
    starts.push(start);
    return start + length;
  }, 0);
  let argmax: number[][] | undefined;
  if (judge.greedy) {
    const outcome = await locatedIn(reference, windows, "calibrate", () =>
      outcomeOf(reference, batch.final, { signal }),
    );
    argmax = windows.map(({ length }, w) => Array.from(outcome.argmax.subarray(starts[w], starts[w]! + length)));
  }
  return {
    argmax,
    async distributions(asked, t) {
      const states = embedding(
        batch.final,
        asked.map((w) => starts[w]! + t),
      );
      const logits = scope(() => reference.unembed(states)); // [R, V]
      const values = await logits.read();
      logits.dispose();
      states.dispose();
      for (const [r, w] of asked.entries()) {
        if (rowOf(values, r, vocabSize).every(Number.isFinite)) continue;
        const what = "the logits of the model to agree with";
        throw await nonFiniteError(reference, windows[w]!.slice(0, t + 1), { what, caller: "calibrate" });
      }
      return asked.map((w, r) => judgedDistribution(judge, rowOf(values, r, vocabSize), windows[w]!.slice(0, t + 1)));
    },
    dispose: () => {
      disposeBatch(batch);
    },
  };
}

interface JudgedToken {
  /** undefined if it ran all blocks. */
  readonly exit: number | undefined;
  /** In 1 / lossScale. */
  readonly loss: number;
}

/** Runs one policy on several windows at once, and judges the token that it emits, or draws, after every prefix. */
async function runWindows(
  heads: ExitHeads,
  windows: readonly (readonly number[])[],
  policy: Policy,
  { judge, truth, signal }: Pick<RunBatchOptions, "judge" | "signal"> & { readonly truth: Truth },
  onToken: (window: number, t: number, token: JudgedToken) => void,
): Promise<void> {
  const decoder = earlyExitDecoder(heads, policy);
  const lanes = windows.map((ids, window) => ({
    ids,
    window,
    sequence: new Sequence(heads.model, ids.length, decoder.sides),
    sampler: observedSampler(judge),
  }));
  const longest = Math.max(...windows.map(({ length }) => length));
  try {
    for (let t = 0; t < longest; t++) {
      await giveTurn(signal);
      const going = lanes.filter(({ ids }) => t < ids.length);
      for (const { sequence, ids } of going) sequence.append(ids[t]!);
      const rounds = await decoder.next(going.map(({ sequence, sampler }) => ({ sequence, sampler, room: 1 })));
      const right = await distributionsAt(truth, going, t);
      for (const [i, { window, sampler }] of going.entries()) {
        const { exit, id } = rounds[i]!.tokens[0]!;
        const loss =
          right === undefined ? Number(id !== truth.argmax![window]![t]) : lossOf(judge, right[i]!, sampler.used!);
        onToken(window, t, { exit, loss });
      }
    }
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
}

function distributionsAt(
  { argmax, distributions }: Truth,
  going: readonly { readonly window: number }[],
  t: number,
): Promise<Float64Array[]> | undefined {
  return argmax === undefined
    ? distributions(
        going.map(({ window }) => window),
        t,
      )
    : undefined;
}
