/**
 * Whether two runtimes ran the same model: the root mean square difference of their logits, relative to the spread of
 * the oracle's logits (the reference device, float64 sums), over the last prompt token and every token after it.
 * Typical mistakes give: positions off by one 0.27, two heads swapped in one block 0.27, no causal mask 0.49, two
 * tokens swapped 0.14, one norm's bias missing 0.05, a query bias missing 0.002, GELU by erf instead of tanh 0.0002.
 * The tolerances allow for rounding alone; the float32 one finds all of these mistakes, the 8-bit one all but the last
 * two. u is the largest relative rounding error of a format.
 */
import { argmaxOf } from "early-exits/model";
import type { Configuration } from "./peer.js";

export interface Agreement {
  /** Relative root mean square error of all rows. */
  readonly error: number;
  readonly tolerance: number;
  /** Rows whose largest logit is the oracle's. */
  readonly sameArgmax: number;
  readonly rows: number;
}

const longestProduct = 2048; // terms of the longest dot product (the down projection)
/** float32, u = 2^-24: the roundings of a sum of K terms grow like sqrt(K); the factor 4 is for six blocks in a row. */
export const FLOAT32_TOLERANCE = 4 * Math.sqrt(longestProduct) * 2 ** -24;
/** llama.cpp with float32 weights: its KV cache and its GELU table are float16, u = 2^-11; the same factor. */
export const FLOAT16_CACHE_TOLERANCE = 4 * 2 ** -11;
/** bfloat16 weights, in llama.cpp also activations: u = 2^-8; the same factor. */
export const BFLOAT16_TOLERANCE = 4 * 2 ** -8;
/** 8 bits: steps of max/127 over 32 to 512 normal weights err by 0.5 to 0.7 % of their deviation; the same factor. */
export const INT8_TOLERANCE = 4 * 2 ** -7;
/**
 * Training: relative difference of a loss after some steps of Adam, which magnifies roundings of small gradients first.
 */
export const LOSS_TOLERANCE = 1e-4;

export function toleranceOf({ peer, variant }: Pick<Configuration, "peer" | "variant">): number {
  if (variant === "bf16" || variant === "bfloat16") return BFLOAT16_TOLERANCE;
  if (variant === "q8_0" || variant === "int8") return INT8_TOLERANCE;
  return peer === "node-llama-cpp" ? FLOAT16_CACHE_TOLERANCE : FLOAT32_TOLERANCE;
}

/** Compares rows [V] of logits. A NaN anywhere makes the error NaN, which exceeds every tolerance. */
export function compareLogits(oracle: Float32Array, found: Float32Array, width: number, tolerance: number): Agreement {
  const rows = oracle.length / width;
  if (found.length !== oracle.length) {
    throw new Error(
      `compareLogits: expected ${oracle.length} logits (${rows} rows of ${width}), found ${found.length}`,
    );
  }
  let difference = 0;
  let spread = 0;
  let sameArgmax = 0;
  for (let r = 0; r < rows; r++) {
    const expected = oracle.subarray(r * width, (r + 1) * width);
    const actual = found.subarray(r * width, (r + 1) * width);
    const mean = expected.reduce((sum, x) => sum + x, 0) / width;
    expected.forEach((x, i) => {
      difference += (actual[i]! - x) ** 2;
      spread += (x - mean) ** 2;
    });
    if (argmaxOf(expected) === argmaxOf(actual)) sameArgmax++;
  }
  return { error: Math.sqrt(difference / spread), tolerance, sameArgmax, rows };
}

export function agrees({ error, tolerance }: Agreement): boolean {
  return error <= tolerance;
}
