/**
 * The output space of heads with a shortlist: n listed tokens and one bucket for the rest, n + 1 logits instead of V.
 * Training reduces the teacher's distribution to the same buckets; the rest's logit is the log-sum-exp of all unlisted
 * tokens' logits. Scores are those of a distribution over the whole vocabulary that spreads the rest's probability r
 * evenly over the unlisted tokens, so that probability outside the list lowers the confidence in every score:
 *   entropy = (1 - r)·(H(listed) - log(1 - r)) - r·log(r / (V - n))      the largest that the buckets allow
 *   second place may go to the rest as a whole; if the rest is most likely, the margin is below 0 and maxProb below 1/2
 * The argmax is the most likely listed token, by its id in the vocabulary. Sampling never draws an unlisted token.
 */
import { add, columns, crossEntropy } from "../../../tensor/ops/index.js";
import { ROW_STATS, scope, Tensor } from "../../../tensor/index.js";
import { readStats } from "../score.js";
import { type Teacher, topIdsOf } from "../teacher.js";
import type { OutputSpace } from "./head-vocabulary-definition.js";

/** The buckets of the listed ids (ascending) in a vocabulary of V tokens. Bucket n is the rest. */
export function shortlistSpace(ids: readonly number[], vocabSize: number): OutputSpace {
  const n = ids.length;
  const places = new Map(ids.map((id, i) => [id, i]));
  const bucketsOf = (tokens: readonly number[]): number[] => tokens.map((id) => places.get(id) ?? n);

  return {
    async readStats(logits) {
      const parts = scope(() => ({ listed: columns(logits, 0, n), rest: columns(logits, n, n + 1) }));
      const stats = await readStats(parts.listed);
      const rest = await parts.rest.read();
      parts.listed.dispose();
      parts.rest.dispose();
      rest.forEach((z, r) => {
        const row = stats.subarray(r * ROW_STATS.width, (r + 1) * ROW_STATS.width);
        addRest(row, z, { ids, unlisted: vocabSize - n });
      });
      return stats;
    },

    async readLogits(logits) {
      const buckets = await logits.read();
      const rows = buckets.length / (n + 1);
      const spread = new Float32Array(rows * vocabSize).fill(-Infinity);
      for (let r = 0; r < rows; r++) {
        ids.forEach((id, i) => (spread[r * vocabSize + id] = buckets[r * (n + 1) + i]!));
      }
      return spread;
    },

    /** Every unlisted token has an equal share of the rest's probability. */
    losses(logits, tokens) {
      const buckets = bucketsOf(tokens);
      const shares = buckets.map((bucket) => (bucket === n ? Math.log(vocabSize - n) : 0));
      return scope(() => add(crossEntropy(logits, buckets), Tensor.from(logits.device, shares, [tokens.length])));
    },

    async targetOf({ logits, argmax, topIds }) {
      const rows = argmax.length;
      const reduced = reduceLogits(await logits.read(), ids, vocabSize);
      const k = Math.min(n + 1, topIds.length / rows);
      return {
        logits: Tensor.from(logits.device, reduced, [rows, n + 1]),
        argmax: bucketsOf(argmax),
        topIds: k > 0 ? topIdsOf(reduced, n + 1, k) : [],
      } satisfies Teacher;
    },

    /** The rest is no token, so choosing it agrees with nothing. */
    agrees: (bucket, target) => bucket === target && bucket !== n,
  };
}

/** Turns one row of statistics of the listed tokens into those of the whole vocabulary, given the rest's logit z. */
function addRest(
  row: Float32Array,
  z: number,
  { ids, unlisted }: { readonly ids: readonly number[]; readonly unlisted: number },
): void {
  const lse = row[ROW_STATS.logSumExp]!;
  const entropy = row[ROW_STATS.entropy]!;
  const total = Math.max(lse, z) + Math.log1p(Math.exp(-Math.abs(lse - z)));
  const logListed = lse - total;
  const logRest = z - total;
  row[ROW_STATS.argmax] = ids[row[ROW_STATS.argmax]!]!;
  row[ROW_STATS.top2] = ids.length === 1 ? z : Math.max(row[ROW_STATS.top2]!, z);
  row[ROW_STATS.logSumExp] = total;
  row[ROW_STATS.entropy] =
    Math.exp(logListed) * (entropy - logListed) - Math.exp(logRest) * (logRest - Math.log(unlisted));
}

/** Reduces logits over the vocabulary to logits over the buckets, row by row: [R, V] -> [R, n + 1]. */
function reduceLogits(values: Float32Array, ids: readonly number[], vocabSize: number): Float32Array {
  const rows = values.length / vocabSize;
  const width = ids.length + 1;
  const listed = new Set(ids);
  const reduced = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * vocabSize, (r + 1) * vocabSize);
    ids.forEach((id, i) => (reduced[r * width + i] = row[id]!));
    let max = -Infinity;
    row.forEach((value, id) => {
      if (!listed.has(id)) max = Math.max(max, value);
    });
    let sum = 0;
    row.forEach((value, id) => {
      if (!listed.has(id)) sum += Math.exp(value - max);
    });
    reduced[(r + 1) * width - 1] = max + Math.log(sum);
  }
  return reduced;
}
