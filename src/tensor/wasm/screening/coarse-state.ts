/**
 * A state x [K] as integers for the coarse product, with one step per segment. A state has few large values: the step
 * suits integers of seven bits, and one quad of k in twelve may have fourteen.
 */
import { SEGMENT_QUADS } from "../kernels/constants.js";
import type { WasmMemory } from "../memory.js";

/** They share a step. */
export const SEGMENT = 4 * SEGMENT_QUADS;
export const SEVEN_BITS = 63;
export const FOURTEEN_BITS = 8191;
/** Of so many quads one may have fourteen bits. */
const NARROW = 12;

/** Matches one of the kernel's ways of reading. */
export interface Rounding {
  /** Most quads have seven bits. */
  readonly narrow: boolean;
  /** Quads of seven bits are stored for dots, not for pairs. */
  readonly dots: boolean;
}
export const DOTS: Rounding = { narrow: true, dots: true };
export const PAIRS: Rounding = { narrow: true, dots: false };
export const FINE: Rounding = { narrow: false, dots: false };

export interface RoundedState {
  /** As the kernel reads them. */
  readonly limits: Float32Array;
  /** |x|, NaN or Infinity if a value is. */
  readonly norm: number;
  /** |x - x̂|. */
  readonly missed: number;
}

/** The integers go to `to`, in the layout of kernels/screening/coarse.as.ts. */
export function roundState(
  memory: WasmMemory,
  { x, to, k }: { readonly x: number; readonly to: number; readonly k: number },
  { narrow, dots }: Rounding,
): RoundedState {
  const values = memory.f32.subarray(x / 4, x / 4 + k);
  const state = stateAt(memory.f32.buffer, to, k);
  let squares = 0;
  let missed = 0;
  for (let first = 0, segment = 0; first < k; first += SEGMENT, segment++) {
    const end = Math.min(k, first + SEGMENT);
    const step = stepOf(values.subarray(first, end), narrow);
    let wide = 0;
    for (let start = first; start < end; start += 4) {
      let isWide = !dots;
      const entry = (segment * SEGMENT) / 4 + wide;
      for (let i = start; i < start + 4; i++) {
        const value = i < end ? values[i]! : 0;
        const level = step === 0 ? 0 : Math.max(-FOURTEEN_BITS, Math.min(FOURTEEN_BITS, Math.round(value / step)));
        squares += value * value;
        missed += (value - level * step) ** 2;
        if (Math.abs(level) > SEVEN_BITS) isWide = true;
        state.narrow[i] = level + SEVEN_BITS + 1;
        state.wide[8 * entry + i - start] = level;
      }
      if (!isWide) continue;
      state.narrow.fill(SEVEN_BITS + 1, start, start + 4);
      state.offsets[4 * entry + 2] = 16 * start;
      wide++;
    }
    state.steps[4 * segment] = step;
    state.counts[4 * segment + 1] = wide;
  }
  return { limits: state.limits, norm: Math.sqrt(squares), missed: Math.sqrt(missed) };
}

/** The step: not too small for fourteen bits; if `narrow`, large enough for seven bits in all quads but a few. */
function stepOf(values: Float32Array, narrow: boolean): number {
  const quads = Math.ceil(values.length / 4);
  const magnitudes = new Float32Array(quads);
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > magnitudes[i >> 2]!) magnitudes[i >> 2] = magnitude;
  }
  magnitudes.sort();
  const top = magnitudes[quads - 1]!;
  const most = narrow ? (magnitudes[quads - 1 - Math.ceil(quads / NARROW)] ?? 0) : 0;
  return Math.fround(Math.max(most / SEVEN_BITS, top / FOURTEEN_BITS));
}

function stateAt(buffer: ArrayBufferLike, address: number, k: number) {
  const quads = Math.ceil(k / 4);
  const segments = address + 16 + 16 * Math.ceil(quads / 4);
  const wide = segments + 16 * Math.ceil(k / SEGMENT);
  return {
    limits: new Float32Array(buffer, address, 3),
    narrow: new Uint8Array(buffer, address + 16, 4 * quads),
    steps: new Float32Array(buffer, segments),
    counts: new Int32Array(buffer, segments),
    wide: new Int16Array(buffer, wide, 8 * quads),
    offsets: new Int32Array(buffer, wide, 4 * quads),
  };
}
