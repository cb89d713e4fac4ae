/**
 * Chooses how integers are multiplied (integers/dots.as.ts). All ways give the same bits by definition, so small
 * products in each way are compared with the exact one: Node 20's baseline compiler gets a dot of bytes wrong. Of the
 * correct ways, DOT is the fastest if it is one instruction, as its time beside a multiplication of int16 shows; else
 * PAIRS.
 */
import {
  ACROSS_INT8,
  DOT,
  EXACT,
  NIBBLE_CENTRED,
  NIBBLE_FLOATS,
  NIBBLE_HALVES,
  PAIRS,
  PANELS_F32,
} from "./constants.js";
import type { NamedKernels } from "./kernels.generated.js";
import type { WasmMemory } from "../memory.js";

/** In tiles, beside one alone. */
const ROWS = 19;
const N = 32;
const K = 96;
const GROUPS = 3;
const PANELS = N / 16;
const KINDS = [ACROSS_INT8, NIBBLE_HALVES, NIBBLE_FLOATS, NIBBLE_CENTRED] as const;
/** One instruction takes four or five cycles where one of int16 takes three or four; five take seven or more. */
const SLOW = 1.7;

/** Leaves the kernels set to any way. */
export function chooseWay(wasm: NamedKernels, memory: WasmMemory, now: () => number): number {
  const correct = (way: number): boolean => KINDS.every((kind) => isCorrect(wasm, memory, kind, way));
  const dot = correct(DOT);
  if (dot && dotTime(wasm, now) < SLOW) return DOT;
  if (correct(PAIRS)) return PAIRS;
  return dot ? DOT : EXACT;
}

/** In multiplications of int16: the shortest of some tries. */
function dotTime(wasm: NamedKernels, now: () => number): number {
  const shortest = (bytes: number): number => {
    let best = Infinity;
    for (let i = 0; i < 8; i++) {
      const started = now();
      wasm.probeDots(bytes, 16_384);
      best = Math.min(best, now() - started);
    }
    return best;
  };
  return shortest(1) / shortest(0);
}

function isCorrect(wasm: NamedKernels, memory: WasmMemory, kind: number, way: number): boolean {
  const weightBytes = PANELS * wasm.panelBytes(kind, K);
  const sizes = [
    weightBytes,
    N * K,
    8 * N * GROUPS,
    4 * ROWS * K,
    4 * (ROWS + 1) * N,
    wasm.quantizedBytes(ROWS, K),
    wasm.integerWorkBytes(ROWS, K),
  ];
  const places = sizes.map((bytes) => memory.allocate(bytes + 64));
  const [w, from, d, x, y, quantized, work] = places as [number, number, number, number, number, number, number];
  wasm.fillZeros(w, weightBytes / 4);
  const wave = (i: number): number => Math.sin(7 * i) * (i % 131 < 9 ? 9 : 1);
  memory.f32.set(
    Float32Array.from({ length: ROWS * K }, (_, i) => wave(i)),
    x / 4,
  );
  const most = kind === ACROSS_INT8 ? 255 : 16;
  memory.i8.set(
    Int8Array.from({ length: N * K }, (_, i) => (37 * i) % most),
    from,
  );
  memory.f32.fill(0.25, d / 4, d / 4 + 2 * N * GROUPS);
  wasm.packIntegers({ kind, w, k: K, first: 0, count: N, from, d, m: d + 4 * N * GROUPS });
  const product = (chosen: number): Float32Array => {
    wasm.setWay(chosen);
    wasm.quantizeIntegers({ kind, x, to: quantized, rows: ROWS, k: K, work });
    const given = { kind, w, x: quantized, y, bias: 0, residual: 0, rows: ROWS, n: N, k: K, work, places: 1 };
    wasm.linearIntegers(given, 0, PANELS);
    wasm.linearIntegers({ ...given, x, y: y + 4 * ROWS * N, rows: 1 }, 0, PANELS);
    return memory.f32.slice(y / 4, y / 4 + (ROWS + 1) * N);
  };
  const exact = product(EXACT);
  const same = product(way).every((value, i) => value === exact[i]);
  places.forEach((address, i) => memory.free(address, sizes[i]! + 64));
  return same;
}

/**
 * True if the kernels multiply and add with one rounding: (1 + 2^-12)² - 1 - 2^-11 is 2^-24, and 0 with two. An engine
 * may run relaxed SIMD with two roundings, as V8 does on processors without fused multiply-add.
 */
export function fuses(wasm: NamedKernels, memory: WasmMemory): boolean {
  const bytes = 192 + wasm.streamBytes(1);
  const w = memory.allocate(bytes);
  const y = w + 64;
  memory.f32.fill(1 + 2 ** -12, w / 4, y / 4);
  memory.f32.fill(-1 - 2 ** -11, y / 4, y / 4 + 16);
  wasm.linear(
    { kind: PANELS_F32, w, x: w, y, bias: y, residual: 0, rows: 1, n: 16, k: 1, work: y + 128, places: 1 },
    0,
    1,
  );
  const fused = memory.f32[y / 4] !== 0;
  memory.free(w, bytes);
  return fused;
}
