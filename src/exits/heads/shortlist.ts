/**
 * Shortlist heads speak of the teacher's n most frequent tokens and of one rest bucket for all others: n + 1 logits
 * instead of V. Teaching: the teacher's distribution is reduced to the same buckets, the rest's logit being the
 * log-sum-exp of all unlisted ones. Scoring: statistics are those of a distribution over the whole vocabulary in which
 * the rest's mass r is spread evenly over the unlisted tokens, so that mass outside counts against the head in every
 * score:
 *   entropy = (1 - r)·(H(listed) - log(1 - r)) - r·log(r / (V - n))      the most that the buckets allow
 *   the rest competes as a whole for second place, so the margin is below 0, and the probability below 1/2, where it has the top mass
 * The argmax is the best listed token, by its real id; sampling never draws an unlisted one.
 */
import { add, columns, crossEntropy } from "../../tensor/ops/index.js";
import { ROW_STATS, scope, Tensor } from "../../tensor/index.js";
import { readStats } from "./score.js";
import { type Teacher, topIdsOf } from "./targets.js";

/** The teacher over the buckets: logits [R, n + 1], its choice as a bucket (n is the rest). */
export async function reduceTeacher(
  { logits, argmax: best, topIds }: Teacher,
  shortlist: readonly number[],
): Promise<Teacher> {
  const rows = best.length;
  const vocabSize = logits.shape[1]!;
  const values = await logits.read();
  const width = shortlist.length + 1;
  const listed = new Set(shortlist);
  const reduced = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * vocabSize, (r + 1) * vocabSize);
    shortlist.forEach((id, i) => (reduced[r * width + i] = row[id]!));
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
  const k = Math.min(width, topIds.length / rows);
  return {
    logits: Tensor.from(logits.device, reduced, [rows, width]),
    argmax: bucketsOf(best, shortlist),
    topIds: k > 0 ? topIdsOf(reduced, width, k) : [],
  };
}

/** The bucket of every token: its place in the shortlist, or the rest's. */
function bucketsOf(ids: readonly number[], shortlist: readonly number[]): number[] {
  const places = new Map(shortlist.map((id, i) => [id, i]));
  return ids.map((id) => places.get(id) ?? shortlist.length);
}

/** -log p(id) per row of bucket logits [R, n + 1], in nats: [R]. */
export function shortlistLosses(
  logits: Tensor,
  ids: readonly number[],
  shortlist: readonly number[],
  vocabSize: number,
): Tensor {
  const n = shortlist.length;
  const buckets = bucketsOf(ids, shortlist);
  const shares = buckets.map((bucket) => (bucket === n ? Math.log(vocabSize - n) : 0));
  return scope(() => add(crossEntropy(logits, buckets), Tensor.from(logits.device, shares, [ids.length])));
}

/** Statistics [R, 5] of bucket logits [R, n + 1], as `rowStats` makes them of a whole vocabulary. */
export async function shortlistStats(
  logits: Tensor,
  shortlist: readonly number[],
  vocabSize: number,
): Promise<Float32Array> {
  const n = shortlist.length;
  const parts = scope(() => ({ listed: columns(logits, 0, n), rest: columns(logits, n, n + 1) }));
  const stats = await readStats(parts.listed);
  const rest = await parts.rest.read();
  parts.listed.dispose();
  parts.rest.dispose();
  rest.forEach((z, r) => {
    const at = r * ROW_STATS.width;
    const lse = stats[at + ROW_STATS.logSumExp]!;
    const entropy = stats[at + ROW_STATS.entropy]!;
    const total = Math.max(lse, z) + Math.log1p(Math.exp(-Math.abs(lse - z)));
    const logListed = lse - total;
    const logRest = z - total;
    stats[at + ROW_STATS.argmax] = shortlist[stats[at + ROW_STATS.argmax]!]!;
    stats[at + ROW_STATS.top2] = n === 1 ? z : Math.max(stats[at + ROW_STATS.top2]!, z);
    stats[at + ROW_STATS.logSumExp] = total;
    stats[at + ROW_STATS.entropy] =
      Math.exp(logListed) * (entropy - logListed) - Math.exp(logRest) * (logRest - Math.log(vocabSize - n));
  });
  return stats;
}

/** Logits of the whole vocabulary [R·V] from those of the buckets [R, n + 1]: minus infinity for unlisted tokens. */
export function spreadLogits(buckets: Float32Array, shortlist: readonly number[], vocabSize: number): Float32Array {
  const width = shortlist.length + 1;
  const rows = buckets.length / width;
  const logits = new Float32Array(rows * vocabSize).fill(-Infinity);
  for (let r = 0; r < rows; r++) shortlist.forEach((id, i) => (logits[r * vocabSize + id] = buckets[r * width + i]!));
  return logits;
}
