/**
 * The unembedding, read only where it matters. Two steps find a state's largest logits:
 *   1. bounds on all V logits from a copy in eight bits (`Screening` of the device, which proves them)
 *   2. the few logits whose upper bound reaches the k-th largest lower bound, exactly: in the model's own arithmetic
 * The k largest logits, ties included, are among them with the bits of the full product, so greedy and top-k decoding
 * choose the same tokens. Too many candidates, or a state that may overflow, give no result: the caller takes the full
 * product, as whatever needs all logits does.
 */
import { OptionError } from "../errors.js";
import { type Device, PackedMatrix, type Tensor } from "../tensor/index.js";
import type { CoarseStorage, ProductBounds, Screening } from "../tensor/device.js";
import { valuesOf } from "../tensor/values-of.js";
import { linearAt } from "../tensor/ops/matmul.js";
import { sliceRows } from "../tensor/ops/select.js";
import type { LinearWeights } from "./weights.js";

/** The largest are enough for greedy and top-k tokens. */
export type UnembeddingKind = "full" | "screened";

/** Logits of one state, perhaps with others, by ascending id. */
export interface LargestLogits {
  readonly ids: readonly number[];
  readonly logits: Float32Array;
}

export interface ScreenedWork {
  /** Summed over the states. */
  readonly exactLogits: number;
  /** Bytes of weights read, the coarse copy's included; repeated reads count once. */
  readonly bytes: number;
}

/** Limit of candidates: with more than one token in this many, the full product is as fast. */
const CANDIDATES = 64;

/** Coarse copy of an unembedding [V, C]. */
export class ScreenedUnembedding {
  readonly bytes: number;
  /** Share of the full product's bytes. */
  readonly share: number;
  readonly #screening: Screening;
  readonly #matrix: PackedMatrix;
  readonly #bias: Tensor | undefined;
  readonly #coarse: CoarseStorage;

  /** Throws an OptionError ("unembedding-screened") that says why if these weights cannot be screened. */
  constructor(device: Device, { weight, bias }: LinearWeights) {
    const { screening } = device;
    if (screening === undefined) throw notScreened(`the ${device.backend} device computes all logits at once`);
    if (!(weight instanceof PackedMatrix)) throw notScreened("the weights are trainable");
    const { dtype } = weight.storage;
    if (dtype !== "float32" && dtype !== "bfloat16") {
      throw notScreened("integer weights are as small as the coarse copy");
    }
    const coarse = screening.createCoarse(weight.storage, bias?.storage);
    if (coarse === undefined) throw notScreened("a weight is not finite or exceeds 1e30");
    this.bytes = coarse.bytes;
    this.share = coarse.bytes / weight.storage.bytes;
    this.#screening = screening;
    this.#matrix = weight;
    this.#bias = bias;
    this.#coarse = coarse;
  }

  /**
   * The `counts[r]` largest logits of row r of normed states x [R, C]; undefined for too many candidates or no bounds.
   */
  async largest(
    x: Tensor,
    counts: readonly number[],
  ): Promise<{ readonly rows: readonly (LargestLogits | undefined)[]; readonly work: ScreenedWork }> {
    const bounds = this.#screening.bounds(x.storage, this.#coarse, counts.length);
    if (bounds === undefined) return { rows: counts.map(() => undefined), work: { exactLogits: 0, bytes: 0 } };
    try {
      const candidates = counts.map((count, r) => this.#candidates(bounds, r, count));
      const rows = await Promise.all(candidates.map((ids, r) => this.#exact(x, r, ids)));
      const found = candidates.filter((ids) => ids !== undefined);
      const bytes = found.reduce((sum, ids) => sum + this.#screening.bytesAt(this.#matrix.storage, ids), 0);
      return { rows, work: { exactLogits: found.flat().length, bytes: this.bytes + bytes } };
    } finally {
      for (const one of [bounds.lower, bounds.upper]) x.device.free(one);
    }
  }

  dispose(): void {
    this.#screening.freeCoarse(this.#coarse);
  }

  #candidates(bounds: ProductBounds, row: number, count: number): readonly number[] | undefined {
    const vocabSize = this.#matrix.shape[0]!;
    const capacity = Math.max(4 * count, Math.floor(vocabSize / CANDIDATES));
    const search = { width: vocabSize, count: Math.min(count, vocabSize), capacity };
    return this.#screening.mayBeLargest(bounds, row, search);
  }

  async #exact(x: Tensor, row: number, ids: readonly number[] | undefined): Promise<LargestLogits | undefined> {
    if (ids === undefined) return undefined;
    const logits = await valuesOf(() => linearAt(sliceRows(x, row, row + 1), this.#matrix, ids, { bias: this.#bias }));
    return { ids, logits };
  }
}

function notScreened(reason: string): OptionError {
  return new OptionError(
    "unembedding-screened",
    `unembedding: "screened" was requested, but ${reason}; use "full", or "auto"`,
  );
}
