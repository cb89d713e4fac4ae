/**
 * The unembedding, read only where it matters. Two steps find a state's largest logits:
 *   1. bounds on all V logits from a copy in eight bits (`Screening` of the device, which proves them); if they leave
 *      many tokens, as for states that nothing follows from, narrower ones of those
 *   2. the few logits whose upper bound reaches the k-th largest lower bound, exactly: in the model's own arithmetic
 * The k largest logits, ties included, are among them with the bits of the full product, so greedy and top-k decoding
 * choose the same tokens. Too many candidates, or a state that may overflow, give no result: the caller takes the full
 * product, as whatever needs all logits does.
 */
import { OptionError } from "../errors.js";
import { type Device, type PackedDtype, PackedMatrix, ROW_STATS, scope, type Tensor } from "../tensor/index.js";
import type { CoarseStorage, ProductBounds, Screening, Storage } from "../tensor/device.js";
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

interface BestToken {
  readonly id: number;
  /** Exact: its logit minus the second largest. */
  readonly margin: number;
  /** Bounds. */
  readonly logProbability: { readonly lower: number; readonly upper: number };
}

/** Limit of candidates: with more than one token in this many, the full product is as fast. */
const CANDIDATES = 64;
/** Candidates beside twice those asked for, computed exactly at once: narrowing takes as long. */
const FEW = 32;
/** Times as many candidates are narrowed: more would read as much as the full product. */
const NARROWED = 4;
/** Errors of a log-sum-exp of float32 values at most: of the exponentials, and as a share of itself. */
const LOG_SUM_EXP = { absolute: 1e-5, relative: 2 ** -22 };

/** Coarse copy of an unembedding [V, C]. */
export class ScreenedUnembedding {
  readonly bytes: number;
  /** Share of the full product's bytes. */
  readonly share: number;
  readonly #device: Device;
  readonly #screening: Screening;
  readonly #matrix: PackedMatrix;
  readonly #bias: Tensor | undefined;
  readonly #coarse: CoarseStorage;

  static supports(device: Device, dtype: PackedDtype): boolean {
    return device.screening !== undefined && !isInteger(dtype);
  }

  /** Throws an OptionError ("unembedding-screened") that says why if these weights cannot be screened. */
  constructor(device: Device, { weight, bias }: LinearWeights) {
    const { screening } = device;
    if (screening === undefined) throw notScreened(`the ${device.backend} device computes all logits at once`);
    if (!(weight instanceof PackedMatrix)) throw notScreened("the weights are trainable");
    if (isInteger(weight.storage.dtype)) throw notScreened("integer weights are as small as the coarse copy");
    const coarse = screening.createCoarse(weight.storage, bias?.storage);
    if (coarse === undefined) throw notScreened("a weight is not finite or exceeds 1e30");
    this.bytes = coarse.bytes;
    this.share = coarse.bytes / weight.storage.bytes;
    this.#device = device;
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
    const candidates = counts.map((count, r) => this.#candidates(bounds, x, r, count));
    this.#freeBounds(bounds);
    const rows = await Promise.all(candidates.map((ids, r) => this.#exact(x, r, ids)));
    const found = candidates.filter((ids) => ids !== undefined);
    const bytes = found.reduce((sum, ids) => sum + this.#screening.bytesAt(this.#matrix.storage, ids), 0);
    return { rows, work: { exactLogits: found.flat().length, bytes: this.bytes + bytes } };
  }

  /** Best tokens of normed states x [R, C]; undefined as in `largest`. V is at least 2. */
  async best(x: Tensor): Promise<readonly (BestToken | undefined)[]> {
    const count = x.shape[0]!;
    const bounds = this.#screening.bounds(x.storage, this.#coarse, count);
    if (bounds === undefined) return Array.from({ length: count }, () => undefined);
    const candidates = Array.from({ length: count }, (_, r) => this.#candidates(bounds, x, r, 2));
    const [least, most] = await Promise.all([
      this.#logSumExp(bounds.lower, count),
      this.#logSumExp(bounds.upper, count),
    ]);
    this.#freeBounds(bounds);
    const rows = await Promise.all(candidates.map((ids, r) => this.#exact(x, r, ids)));
    return rows.map((row, r) => row && bestOf(row, least[r]!, most[r]!));
  }

  dispose(): void {
    this.#screening.freeCoarse(this.#coarse);
  }

  #candidates(bounds: ProductBounds, x: Tensor, row: number, count: number): readonly number[] | undefined {
    const screening = this.#screening;
    const vocabSize = this.#matrix.shape[0]!;
    const search = { width: vocabSize, count: Math.min(count, vocabSize) };
    const capacity = Math.max(4 * count, Math.floor(vocabSize / CANDIDATES));
    const found = screening.mayBeLargest(bounds, row, { ...search, capacity: NARROWED * capacity });
    if (found === undefined || found.length <= Math.min(capacity, 2 * count + FEW)) return found;
    screening.narrow(bounds, row, x.storage, this.#coarse, found);
    return screening.mayBeLargest(bounds, row, { ...search, capacity });
  }

  async #exact(x: Tensor, row: number, ids: readonly number[] | undefined): Promise<LargestLogits | undefined> {
    if (ids === undefined) return undefined;
    const entries = scope(() => linearAt(sliceRows(x, row, row + 1), this.#matrix, ids, { bias: this.#bias }));
    const logits = await entries.read();
    entries.dispose();
    return { ids, logits };
  }

  /** Log-sum-exps of bounds [R, V]. */
  async #logSumExp(bounds: Storage, rows: number): Promise<number[]> {
    const stats = this.#device.kernels.rowStats(bounds, rows, this.#matrix.shape[0]!);
    const values = await this.#device.read(stats);
    this.#device.free(stats);
    return Array.from({ length: rows }, (_, r) => values[r * ROW_STATS.width + ROW_STATS.logSumExp]!);
  }

  #freeBounds({ lower, upper }: ProductBounds): void {
    this.#device.free(lower);
    this.#device.free(upper);
  }
}

function bestOf({ ids, logits }: LargestLogits, least: number, most: number): BestToken {
  const best = indexOfLargest(logits, -1);
  const top = logits[best]!;
  const second = logits[indexOfLargest(logits, best)]!;
  const slack = (value: number): number => LOG_SUM_EXP.absolute + LOG_SUM_EXP.relative * Math.abs(value);
  return {
    id: ids[best]!,
    margin: top - second,
    logProbability: { lower: top - most - slack(most), upper: Math.min(0, top - least + slack(least)) },
  };
}

/** Index of the largest but `except`; the lowest on ties. */
export function indexOfLargest(values: Float32Array, except = -1): number {
  let best = except === 0 ? 1 : 0;
  for (let i = best + 1; i < values.length; i++) {
    if (i !== except && values[i]! > values[best]!) best = i;
  }
  return best;
}

function notScreened(reason: string): OptionError {
  return new OptionError(
    "unembedding-screened",
    `unembedding: "screened" was requested, but ${reason}; use "full", or "auto"`,
  );
}

function isInteger(dtype: PackedDtype): boolean {
  return dtype !== "float32" && dtype !== "bfloat16";
}
