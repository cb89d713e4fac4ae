/**
 * Recorded states of answers in the order of their tokens, for heads that look ahead: batches of short runs of
 * neighbouring positions, shuffled, with the token after each.
 */
import type { Model } from "early-exits";
import type { BatchSource, CacheStore } from "early-exits/exits";
import { createRng, parseSafetensors, Tensor } from "early-exits/tensor";
import { parseStates, shardName } from "../../src/exits/states/record-states.js";
import type { Answer } from "./answers.js";

/** Neighbouring positions that stay together. */
const RUN = 16;

/** Answers and the store of their recorded states, shard by shard. */
export interface RecordedAnswers {
  readonly answers: readonly Answer[];
  readonly store: CacheStore;
  /** Shard of the first answer. @default 0 */
  readonly firstShard?: number;
}

/** States of answers, one after another; those that chose its tokens. */
interface OrderedStates {
  readonly hidden: ReadonlyMap<number, Float32Array>;
  readonly final: Float32Array;
  readonly positions: Int32Array;
  readonly argmax: Int32Array;
  readonly logSumExp: Float32Array;
  /** The token written after each position; -1 after the last of an answer. */
  readonly next: Int32Array;
}

/** Reads whole answers with about so many tokens, from the first on. Throws an Error if a shard is missing. */
export async function orderedStates(
  model: Model,
  sets: readonly RecordedAnswers[],
  depths: readonly number[],
  tokens = Infinity,
): Promise<OrderedStates> {
  const { hiddenSize: c, vocabSize } = model.config;
  let left = tokens;
  const chosen = sets.map(({ answers, store, firstShard = 0 }) => ({
    store,
    firstShard,
    answers: answers.filter(({ answer }) => {
      const fits = left > 0;
      if (fits) left -= answer.length;
      return fits;
    }),
  }));
  const written = chosen.flatMap(({ answers }) => answers.map(({ answer }) => answer));
  const total = written.reduce((sum, { length }) => sum + length, 0);
  const states = {
    hidden: new Map(depths.map((depth) => [depth, new Float32Array(total * c)])),
    final: new Float32Array(total * c),
    positions: new Int32Array(total),
    argmax: new Int32Array(total),
    logSumExp: new Float32Array(total),
    next: Int32Array.from(written.flatMap((answer) => answer.map((id, i) => (i < answer.length - 1 ? id : -1)))),
  };
  let begin = 0;
  for (const { answers, store, firstShard } of chosen) {
    const end = begin + answers.reduce((sum, { answer }) => sum + answer.length, 0);
    for (let shard = firstShard; begin < end; shard++) {
      const name = shardName(shard);
      const bytes = await store.read(name);
      if (bytes === undefined) throw new Error(`${name} is missing: record the states first`);
      const rows = parseSafetensors(bytes).info("positions").shape[0]!;
      const part = parseStates(bytes, depths, { name, rows, hiddenSize: c, vocabSize });
      const kept = Math.min(rows, end - begin);
      for (const [depth, values] of states.hidden) values.set(part.hidden.get(depth)!.subarray(0, kept * c), begin * c);
      states.final.set(part.final.subarray(0, kept * c), begin * c);
      for (const name of ["positions", "argmax", "logSumExp"] as const) {
        states[name].set(part[name].subarray(0, kept), begin);
      }
      begin += kept;
    }
  }
  return states;
}

/** Batches of `rows` positions; the seed shuffles the runs. */
export function orderedBatches(
  { device, config: { hiddenSize: c } }: Model,
  { hidden, final, positions, argmax, logSumExp, next }: OrderedStates,
  { rows = 512, seed = 0 } = {},
): BatchSource {
  const runs = Array.from({ length: Math.ceil(next.length / RUN) }, (_, run) => run * RUN);
  const perBatch = Math.ceil(rows / RUN);
  const batchesPerEpoch = Math.ceil(runs.length / perBatch);
  return {
    batchesPerEpoch,
    batch(step) {
      const order = createRng(seed)
        .fork(`epoch ${Math.floor(step / batchesPerEpoch)}`)
        .shuffle(runs);
      const at = (step % batchesPerEpoch) * perBatch;
      const chosen = order
        .slice(at, at + perBatch)
        .flatMap((begin) => Array.from({ length: Math.min(RUN, next.length - begin) }, (_, i) => begin + i));
      const take = (values: Float32Array): Tensor => {
        const taken = new Float32Array(chosen.length * c);
        chosen.forEach((row, i) => taken.set(values.subarray(row * c, (row + 1) * c), i * c));
        return Tensor.from(device, taken, [chosen.length, c]);
      };
      const isLast = (row: number): boolean => row % RUN === RUN - 1;
      return Promise.resolve({
        hidden: new Map([...hidden].map(([depth, values]) => [depth, take(values)])),
        final: take(final),
        rows: chosen.length,
        positions: Int32Array.from(chosen, (row) => positions[row]!),
        outcome: {
          argmax: Int32Array.from(chosen, (row) => argmax[row]!),
          logSumExp: Float32Array.from(chosen, (row) => logSumExp[row]!),
        },
        next: Int32Array.from(chosen, (row) => (isLast(row) ? -1 : next[row]!)),
      });
    },
  };
}
