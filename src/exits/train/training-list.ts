/**
 * Training on a list of n frequent tokens, and one bucket for all others, in place of V tokens: the head's loss then
 * costs n + 1 columns. With h the vector that a head gives to the unembedding U, and the full model's final state,
 *     student   [U_list h; r·h + c]                 U_list [n, C] is frozen; r [C] and c are learned, just for training
 *     teacher   [U_list n(final); log(Z - Z_list)]  Z the sum of e^logit over all tokens, which was recorded, Z_list
 *                                                   that over the listed ones
 * KL over the n + 1 buckets is the part of the full KL that the list can see; its gradient is exact for that part.
 * Nothing would stop the logits of unlisted tokens from growing, though, and a head that reads the whole vocabulary
 * would emit them. So every step draws some unlisted tokens, those that the teacher chooses in the batch and others by
 * chance, which count as listed until the next draw: a finer partition each time.
 */
import { range } from "../../model/families/family.js";
import type { Model } from "../../model/index.js";
import { normalize } from "../../model/block.js";
import { createRng, PackedMatrix, type Rng, ROW_STATS, scope, Tensor } from "../../tensor/index.js";
import { keep } from "../../tensor/tensor.js";
import { valuesOf } from "../../tensor/values-of.js";
import { add } from "../../tensor/ops/arithmetic.js";
import { rowStats } from "../../tensor/ops/reduce.js";
import { columns } from "../../tensor/ops/select.js";
import { embedding } from "../../tensor/ops/embedding.js";
import { linear } from "../../tensor/ops/matmul.js";
import type { Outcome } from "../states/batches.js";
import { topIdsOf } from "../states/frequent-tokens.js";
import type { Teacher } from "./create-teacher.js";

/** The logit of all unlisted tokens together, of one head. */
export interface RestWeights {
  /** r [1, C]. */
  readonly row: Tensor;
  /** c [1]. */
  readonly bias: Tensor;
}

/** Smallest probability of the unlisted tokens: float32 can still tell it from none. */
const LEAST_REST = 1e-7;

export type TrainingList = Awaited<ReturnType<typeof trainingList>>;

/** Takes different token ids, ascending. Draws at once if it is to draw: so many unlisted tokens at a time. */
export async function trainingList(model: Model, listed: readonly number[], { drawn = 0 } = {}) {
  const { device, config, weights } = model;
  const { vocabSize, hiddenSize: width } = config;
  const n = listed.length;
  const { rows: given, bias: givenBias } = await readListedRows(model, listed);
  const count = Math.min(drawn, vocabSize - n);
  const buckets = n + count + 1;
  /** The listed tokens, then the drawn ones. */
  const ids = [...listed];
  const bucketOf = new Int32Array(vocabSize).fill(buckets - 1);
  listed.forEach((id, bucket) => (bucketOf[id] = bucket));
  /** Mean row [C] and bias of the unlisted tokens, the start of the rest's logit. */
  const others = { row: given.slice(n * width), bias: givenBias[n]! + Math.log(vocabSize - n) };
  const padded = new Float32Array(buckets * width); // nothing drawn yet: rows of zeros, and no probability
  padded.set(given.subarray(0, n * width));
  /** Their rows of the unembedding, and a row of zeros: [n + 1, C]. */
  const rows = PackedMatrix.from(device, padded, [buckets, width]);
  const biases = Float32Array.from({ length: buckets }, (_, i) => (i < n ? givenBias[i]! : 0));
  /** [n + 1], zero for the rest. */
  const bias = keep(Tensor.from(device, biases, [buckets]));
  const unit = new Float32Array(buckets);
  unit[buckets - 1] = 1;
  /** [n + 1, 1]: moves a number into the last place. */
  const last = PackedMatrix.from(device, unit, [buckets, 1]);

  /** Draws other unlisted tokens: first, while there is room, the `wanted` ones. */
  const redraw = async (rng: Rng, wanted: ArrayLike<number> = []): Promise<void> => {
    if (count === 0) return;
    for (const id of ids.splice(n)) bucketOf[id] = n + count;
    for (let i = 0; ids.length < n + count; i++) {
      const id = wanted[i] ?? rng.integer(vocabSize);
      if (bucketOf[id] !== n + count) continue; // it is listed or drawn
      bucketOf[id] = ids.length;
      ids.push(id);
    }
    const some = ids.slice(n);
    device.packRows(rows.storage, n, await valuesOf(() => embedding(weights.unembedding.weight, some))); // [drawn, C]
    const own = await weights.unembedding.bias?.read();
    if (own === undefined) return;
    const values = await bias.read();
    some.forEach((id, i) => (values[n + i] = own[id]!));
    device.write(bias.storage, values);
  };
  if (count > 0) await redraw(createRng(0));

  return {
    /** n + 1, with the drawn ones. */
    buckets,
    /** Tokens of all buckets but the last. */
    ids: ids as readonly number[],
    redraw,

    /** The mean of the unlisted rows. */
    createRest: (): RestWeights => ({
      row: keep(Tensor.from(device, others.row, [1, width], { requiresGrad: true })),
      bias: keep(Tensor.from(device, [others.bias], [1], { requiresGrad: true })),
    }),

    /** [R, n + 1] of vectors h [R, C], differentiable in h and the rest's weights. */
    logits(h: Tensor, own: RestWeights): Tensor {
      const rest = linear(linear(h, own.row, { bias: own.bias }), last); // [R, C] -> [R, 1] -> [R, n + 1]
      return linear(h, rows, { bias, residual: rest });
    },

    /** Over the n + 1 buckets at final states [R, C], of the full model's outcome there. */
    async teacher(final: Tensor, { argmax, logSumExp }: Outcome, { topK = 0 } = {}): Promise<Teacher> {
      const found = scope(() => {
        const logits = linear(normalize(final, weights.finalNorm, config), rows, { bias });
        return { logits, stats: rowStats(columns(logits, 0, buckets - 1)) };
      });
      const stats = await found.stats.read();
      const rest = logSumExp.map((lse, r) => {
        const share = -Math.expm1(stats[r * ROW_STATS.width + ROW_STATS.logSumExp]! - lse);
        return lse + Math.log(Math.max(LEAST_REST, share));
      });
      const logits = scope(() => add(found.logits, linear(Tensor.from(device, rest, [rest.length, 1]), last)));
      found.logits.dispose();
      found.stats.dispose();
      return {
        logits,
        argmax: Array.from(argmax, (id) => bucketOf[id]!),
        topIds: topK > 0 ? topIdsOf(await logits.read(), buckets, topK) : [],
      };
    },

    /** The largest logit is the teacher's choice, and not the rest's. */
    agrees: (bucket: number, target: number): boolean => bucket === target && bucket !== buckets - 1,

    dispose(): void {
      for (const part of [rows, bias, last]) part.dispose();
    },
  };
}

/** Rows read back at a time. */
const CHUNK = 4096;

/** Rows [n + 1, C] and biases [n + 1] (zeros if there are none) of the listed tokens, and the means of all others. */
async function readListedRows(model: Model, ids: readonly number[]) {
  const { vocabSize, hiddenSize } = model.config;
  const { unembedding } = model.weights;
  const own = await unembedding.bias?.read();
  const n = ids.length;
  const rows = new Float32Array((n + 1) * hiddenSize);
  const bias = new Float32Array(n + 1);
  const bucketOf = new Map(ids.map((id, i) => [id, i]));
  for (let begin = 0; begin < vocabSize; begin += CHUNK) {
    const chunk = range(begin, Math.min(begin + CHUNK, vocabSize));
    const values = await valuesOf(() => embedding(unembedding.weight, chunk)); // [CHUNK, C]
    for (const [i, id] of chunk.entries()) {
      const bucket = bucketOf.get(id) ?? n;
      const share = bucket === n ? 1 / (vocabSize - n) : 1;
      bias[bucket]! += share * (own?.[id] ?? 0);
      for (let c = 0; c < hiddenSize; c++) rows[bucket * hiddenSize + c]! += share * values[i * hiddenSize + c]!;
    }
  }
  return { rows, bias };
}
