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

interface TrainingListOptions {
  /** Unlisted tokens drawn at a time (`redraw`). @default 0 */
  readonly drawn?: number;
}

export class TrainingList {
  readonly #model: Model;
  /** The listed tokens, then the drawn ones. */
  readonly #ids: number[];
  readonly #listed: number;
  readonly #bucketOf: Int32Array;
  /** Their rows of the unembedding, and a row of zeros: [n + 1, C]. */
  readonly #rows: PackedMatrix;
  /** [n + 1], zero for the rest. */
  readonly #bias: Tensor;
  /** [n + 1, 1]: moves a number into the last place. */
  readonly #last: PackedMatrix;
  /** Mean row [C] and bias of the unlisted tokens, the start of the rest's logit. */
  readonly #others: { readonly row: Float32Array; readonly bias: number };

  private constructor(
    model: Model,
    listed: readonly number[],
    { rows, bias }: { readonly rows: Float32Array; readonly bias: Float32Array },
    drawn: number,
  ) {
    const { device, config } = model;
    const n = listed.length;
    const width = config.hiddenSize;
    const buckets = n + drawn + 1;
    this.#model = model;
    this.#listed = n;
    this.#ids = [...listed];
    this.#bucketOf = new Int32Array(config.vocabSize).fill(buckets - 1);
    listed.forEach((id, bucket) => (this.#bucketOf[id] = bucket));
    this.#others = { row: rows.slice(n * width), bias: bias[n]! + Math.log(config.vocabSize - n) };
    const padded = new Float32Array(buckets * width); // nothing drawn yet: rows of zeros, and no probability
    padded.set(rows.subarray(0, n * width));
    this.#rows = PackedMatrix.from(device, padded, [buckets, width]);
    const biases = Float32Array.from({ length: buckets }, (_, i) => (i < n ? bias[i]! : 0));
    this.#bias = keep(Tensor.from(device, biases, [buckets]));
    const last = new Float32Array(buckets);
    last[buckets - 1] = 1;
    this.#last = PackedMatrix.from(device, last, [buckets, 1]);
  }

  /** Takes different token ids, ascending. Draws at once if it is to draw. */
  static async create(
    model: Model,
    ids: readonly number[],
    { drawn = 0 }: TrainingListOptions = {},
  ): Promise<TrainingList> {
    const most = Math.min(drawn, model.config.vocabSize - ids.length);
    const list = new TrainingList(model, ids, await readListedRows(model, ids), most);
    if (most > 0) await list.redraw(createRng(0));
    return list;
  }

  /** n + 1, with the drawn ones. */
  get buckets(): number {
    return this.#rows.shape[0]!;
  }

  /** Tokens of all buckets but the last. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /** Draws other unlisted tokens: first, while there is room, the `wanted` ones. */
  async redraw(rng: Rng, wanted: ArrayLike<number> = []): Promise<void> {
    const { device, config, weights } = this.#model;
    const n = this.#listed;
    const count = this.#rows.shape[0]! - 1 - n;
    if (count === 0) return;
    for (const id of this.#ids.splice(n)) this.#bucketOf[id] = n + count;
    for (let i = 0; this.#ids.length < n + count; i++) {
      const id = wanted[i] ?? rng.integer(config.vocabSize);
      if (this.#bucketOf[id] !== n + count) continue; // it is listed or drawn
      this.#bucketOf[id] = this.#ids.length;
      this.#ids.push(id);
    }
    const drawn = this.#ids.slice(n);
    const rows = await valuesOf(() => embedding(weights.unembedding.weight, drawn)); // [drawn, C]
    device.packRows(this.#rows.storage, n, rows);
    const own = await weights.unembedding.bias?.read();
    if (own === undefined) return;
    const bias = await this.#bias.read();
    drawn.forEach((id, i) => (bias[n + i] = own[id]!));
    device.write(this.#bias.storage, bias);
  }

  /** The mean of the unlisted rows. */
  createRest(): RestWeights {
    const { device } = this.#model;
    const { row, bias } = this.#others;
    return {
      row: keep(Tensor.from(device, row, [1, row.length], { requiresGrad: true })),
      bias: keep(Tensor.from(device, [bias], [1], { requiresGrad: true })),
    };
  }

  /** [R, n + 1] of vectors h [R, C], differentiable in h and the rest's weights. */
  logits(h: Tensor, { row, bias }: RestWeights): Tensor {
    const rest = linear(linear(h, row, { bias }), this.#last); // [R, C] -> [R, 1] -> [R, n + 1]
    return linear(h, this.#rows, { bias: this.#bias, residual: rest });
  }

  /** Over the n + 1 buckets at final states [R, C], of the full model's outcome there. */
  async teacher(final: Tensor, { argmax, logSumExp }: Outcome, { topK = 0 } = {}): Promise<Teacher> {
    const { config, device, weights } = this.#model;
    const n = this.#ids.length;
    const listed = scope(() => {
      const logits = linear(normalize(final, weights.finalNorm, config), this.#rows, { bias: this.#bias });
      return { logits, stats: rowStats(columns(logits, 0, n)) };
    });
    const stats = await listed.stats.read();
    const rest = logSumExp.map((lse, r) => {
      const share = -Math.expm1(stats[r * ROW_STATS.width + ROW_STATS.logSumExp]! - lse);
      return lse + Math.log(Math.max(LEAST_REST, share));
    });
    const logits = scope(() => add(listed.logits, linear(Tensor.from(device, rest, [rest.length, 1]), this.#last)));
    listed.logits.dispose();
    listed.stats.dispose();
    return {
      logits,
      argmax: Array.from(argmax, (id) => this.#bucketOf[id]!),
      topIds: topK > 0 ? topIdsOf(await logits.read(), n + 1, Math.min(topK, n + 1)) : [],
    };
  }

  /** The largest logit is the teacher's choice, and not the rest's. */
  agrees(bucket: number, target: number): boolean {
    return bucket === target && bucket !== this.ids.length;
  }

  dispose(): void {
    this.#rows.dispose();
    this.#bias.dispose();
    this.#last.dispose();
  }
}

/** Rows read back at a time. */
const CHUNK = 4096;

/** The n listed tokens, and the mean of all others. */
interface ListedRows {
  /** [n + 1, C]. */
  readonly rows: Float32Array;
  /** [n + 1], zeros if the unembedding has no bias. */
  readonly bias: Float32Array;
}

/** With means over the other tokens. */
async function readListedRows(model: Model, ids: readonly number[]): Promise<ListedRows> {
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
