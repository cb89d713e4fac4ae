/** Lists of tokens, and what the unembedding holds for them: its rows, and the mean of all others. */
import { HeadsError } from "../../../errors.js";
import type { Model } from "../../../model/index.js";
import { embedding } from "../../../tensor/ops/index.js";
import { scope } from "../../../tensor/index.js";

/** Rows that are read back at a time: all of a large vocabulary would be a large tensor. */
const CHUNK = 4096;

/** The unembedding in n + 1 buckets: the n listed tokens, and the mean of all others. */
export interface ListedRows {
  /** [n + 1, C]. */
  readonly rows: Float32Array;
  /** [n + 1], zeros if the unembedding has no bias. */
  readonly bias: Float32Array;
}

/** Reads the rows and biases of the unembedding for listed ids, and their means over the other tokens. */
export async function readListedRows(model: Model, ids: readonly number[]): Promise<ListedRows> {
  const { vocabSize, hiddenSize } = model.config;
  const { unembedding } = model.weights;
  const own = await unembedding.bias?.read();
  const n = ids.length;
  const rows = new Float32Array((n + 1) * hiddenSize);
  const bias = new Float32Array(n + 1);
  const bucketOf = new Map(ids.map((id, i) => [id, i]));
  for (let begin = 0; begin < vocabSize; begin += CHUNK) {
    const chunk = Array.from({ length: Math.min(CHUNK, vocabSize - begin) }, (_, i) => begin + i);
    const tensor = scope(() => embedding(unembedding.weight, chunk)); // [CHUNK, C]
    const values = await tensor.read();
    tensor.dispose();
    for (const [i, id] of chunk.entries()) {
      const bucket = bucketOf.get(id) ?? n;
      const share = bucket === n ? 1 / (vocabSize - n) : 1;
      bias[bucket]! += share * (own?.[id] ?? 0);
      for (let c = 0; c < hiddenSize; c++) rows[bucket * hiddenSize + c]! += share * values[i * hiddenSize + c]!;
    }
  }
  return { rows, bias };
}

/** How many tokens a list may have. */
export interface ListBounds {
  readonly least: number;
  readonly most: number;
}

/** Returns the ids; throws a HeadsError unless they are so many different ones of the vocabulary, ascending. */
export function checkShortlist(
  ids: readonly number[] | undefined,
  vocabSize: number,
  { least, most }: ListBounds,
): readonly number[] {
  const legal =
    ids !== undefined &&
    ids.length >= least &&
    ids.length <= most &&
    ids.every((id, i) => Number.isInteger(id) && id >= 0 && id < vocabSize && (i === 0 || id > ids[i - 1]!));
  if (!legal) {
    throw new HeadsError(
      "heads-shortlist",
      `exit heads: a shortlist is a list of different token ids in [0, ${vocabSize}), ascending, and has from ` +
        `${least} to ${most} of them; give such a list`,
      { listed: ids?.length, vocabSize },
    );
  }
  return ids;
}
