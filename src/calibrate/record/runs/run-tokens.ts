/**
 * A policy's distributions on given text, token by token, by the decoder that `generate` uses. It draws nothing: the
 * distribution is compared with the reference's on the same prefix, computed with all keys and values; then the text's
 * own token follows.
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import { earlyExitDecoder } from "../../../exits/decode/decode.js";
import type { ExitHeads } from "../../../exits/heads/exit-heads.js";
import type { Policy } from "../../../exits/plan/policy.js";
import { disposeBatch, hiddenBatch } from "../../../exits/states/batches.js";
import { fillCaches, pendingAt } from "../../../model/advance.js";
import { rowOf } from "../../../model/decode/final-logits.js";
import { processedDistribution } from "../../../model/decode/sampling.js";
import { nonFiniteError } from "../../../model/decode/non-finite.js";
import type { Window } from "../../../model/documents.js";
import { Sequence } from "../../../model/index.js";
import type { Tensor } from "../../../tensor/index.js";
import { valuesOf } from "../../../tensor/values-of.js";
import { embedding } from "../../../tensor/ops/embedding.js";
import { giveTurn } from "../../../turns.js";
import { type Judge, lossOf } from "../judge.js";
import type { Sampler } from "../../../model/decode/decoder.js";

interface JudgedToken {
  /** undefined if it ran all blocks. */
  readonly exit: number | undefined;
  /** Units of 1 / lossScale. */
  readonly loss: number;
}

type OnJudged = (window: number, token: JudgedToken) => void;

export interface PolicyRunner {
  run(policy: Policy, onToken: OnJudged): Promise<void>;
  dispose(): void;
}

interface Place {
  readonly window: number;
  readonly t: number;
}

export async function runnerByTokens(
  heads: ExitHeads,
  windows: readonly Window[],
  judge: Judge,
  signal: CancelSignal | undefined,
): Promise<PolicyRunner> {
  const batch = await hiddenBatch(judge.reference, windows, [], signal);
  const right: Reference = (asked) => distributionsAt(judge, windows, batch.final, asked);
  return {
    run: (policy, onToken) => runWindows(heads, windows, policy, { judge, right, signal }, onToken),
    dispose: () => disposeBatch(batch),
  };
}

type Reference = (asked: readonly Place[]) => Promise<Float64Array[]>;

/** The reference's distributions at some positions, from its final states [R, C] at all judged positions. */
async function distributionsAt(
  judge: Judge,
  windows: readonly Window[],
  final: Tensor,
  asked: readonly Place[],
): Promise<Float64Array[]> {
  const { reference } = judge;
  const { vocabSize } = reference.config;
  const starts: number[] = []; // the row of position 0 of each window, if the prompt had rows
  windows.reduce((row, { ids, from }) => {
    starts.push(row - from);
    return row + ids.length - from;
  }, 0);
  const rows = asked.map(({ window, t }) => starts[window]! + t);
  const values = await valuesOf(() => reference.unembed(embedding(final, rows))); // [R, V]
  for (const [r, { window, t }] of asked.entries()) {
    if (rowOf(values, r, vocabSize).every(Number.isFinite)) continue;
    const what = "the logits of the model to agree with";
    throw await nonFiniteError(reference, windows[window]!.ids.slice(0, t + 1), { what, caller: "calibrate" });
  }
  return asked.map(({ window, t }, r) =>
    processedDistribution(rowOf(values, r, vocabSize), windows[window]!.ids.slice(0, t + 1), judge.sampling),
  );
}

interface RunOptions {
  readonly judge: Judge;
  readonly right: Reference;
  readonly signal: CancelSignal | undefined;
}

/** Draws nothing, and gives away the distribution that a token would be drawn from: the next one is the text's own. */
function observedSampler({ greedy, sampling }: Judge, onDraw: (p: Float64Array) => void): Sampler {
  return {
    greedy,
    distribution: (logits, seen) => processedDistribution(logits, seen, sampling),
    draw(p) {
      onDraw(p);
      return 0;
    },
    chance: () => false,
  };
}

/** Runs one policy on several windows at once, and judges it after every prefix. */
async function runWindows(
  heads: ExitHeads,
  windows: readonly Window[],
  policy: Policy,
  { judge, right, signal }: RunOptions,
  onToken: OnJudged,
): Promise<void> {
  const { model } = heads;
  const { numLayers } = model.config;
  const decoder = earlyExitDecoder(heads, policy);
  const used: Float64Array[] = []; // by window, of the latest token
  const lanes = windows.map(({ ids, from }, window) => ({
    ids,
    from,
    window,
    sequence: new Sequence(model, ids.length),
    sampler: observedSampler(judge, (p) => {
      used[window] = p;
    }),
  }));
  const longest = Math.max(...windows.map(({ ids, from }) => ids.length - from));
  try {
    for (const { sequence, ids, from } of lanes) sequence.append(...ids.slice(0, from));
    await fillCaches(model, pendingAt(lanes, numLayers), { signal });
    for (let step = 0; step < longest; step++) {
      await giveTurn(signal);
      const going = lanes
        .filter(({ ids, from }) => from + step < ids.length)
        .map((lane) => ({ ...lane, t: lane.from + step }));
      for (const { sequence, ids, t } of going) sequence.append(ids[t]!);
      const rounds = await decoder.next(going.map(({ sequence, sampler }) => ({ sequence, sampler, room: 1 })));
      const distributions = await right(going);
      for (const [i, { window }] of going.entries()) {
        const { exit } = rounds[i]!.tokens[0]!;
        onToken(window, { exit, loss: lossOf(judge, distributions[i]!, used[window]!) });
      }
    }
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
}
