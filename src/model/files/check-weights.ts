/**
 * Reads every weight of a checkpoint once, a few megabytes at a time, for NaN or infinity: one is enough to make every
 * logit NaN.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { storedDecoder, storedRowBytes } from "../../tensor/formats/stored.js";
import { giveTurn } from "../../turns.js";
import type { TensorSource } from "../checkpoint.js";

export interface DamagedTensor {
  readonly name: string;
  readonly nan: number;
  readonly infinite: number;
  /** Place of the first, row-major. */
  readonly first: number;
}

interface CheckWeightsOptions {
  readonly signal?: CancelSignal | undefined;
  /** Receives the share of the tensors read. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

const PIECE_BYTES = 2 ** 22;

/** Tensors of integers hold none. */
export async function checkWeights(
  source: Pick<TensorSource, "tensors" | "read">,
  { signal, onProgress }: CheckWeightsOptions = {},
): Promise<DamagedTensor[]> {
  const damaged: DamagedTensor[] = [];
  let done = 0;
  for (const [name, { dtype, shape }] of source.tensors) {
    const columns = shape.at(-1) ?? 1;
    const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const rowBytes = storedRowBytes(dtype, columns);
    const decode = await storedDecoder(dtype);
    let nan = 0;
    let infinite = 0;
    let first = -1;
    const step = rowBytes ? Math.max(1, Math.floor(PIECE_BYTES / rowBytes)) : rows;
    for (let row = 0; rowBytes !== undefined && row < rows; row += step) {
      await giveTurn(signal);
      const bytes = await source.read(name, row * rowBytes, Math.min(row + step, rows) * rowBytes);
      const values = decode(bytes);
      for (let i = 0; i < values.length; i++) {
        if (Number.isFinite(values[i]!)) continue;
        if (Number.isNaN(values[i]!)) nan++;
        else infinite++;
        if (first < 0) first = row * columns + i;
      }
    }
    if (first >= 0) damaged.push({ name, nan, infinite, first });
    onProgress?.(++done / source.tensors.size);
  }
  return damaged;
}
