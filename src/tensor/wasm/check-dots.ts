/**
 * Whether the engine compiles the dot of bytes correctly. Both ways of multiplying integers give the same bits by
 * definition (activations.as.ts), so a small product of each kind is computed both ways and compared. Node 20's
 * baseline compiler fails; the exact way is taken then.
 */
import type { NamedKernels } from "./kernels/index.js";
import type { WasmMemory } from "./memory.js";
import { ACROSS, panelsOf } from "./products.js";

const ROWS = 3;
const N = 32;
const K = 96;
const GROUPS = 3;

export function dotsAreExact(wasm: NamedKernels, memory: WasmMemory): boolean {
  return (["int8", "int4", "int4-floats"] as const).every((dtype) =>
    agrees(wasm, memory, ACROSS[dtype]),
  );
}

function agrees(wasm: NamedKernels, memory: WasmMemory, kind: number): boolean {
  const weightBytes = panelsOf(N) * wasm.panelBytes(kind, K);
  const sizes = [weightBytes, N * K, 8 * N * GROUPS, 4 * ROWS * K, 4 * ROWS * N, wasm.integerWorkBytes(ROWS, K)];
  const places = sizes.map((bytes) => memory.allocate(bytes + 64));
  const [w, from, d, x, y, work] = places as [number, number, number, number, number, number];
  wasm.fillZeros(w, weightBytes / 4);
  const wave = (i: number): number => Math.sin(7 * i) * (i % 11 === 0 ? 9 : 1);
  memory.f32.set(
    Float32Array.from({ length: ROWS * K }, (_, i) => wave(i)),
    x / 4,
  );
  const most = kind === ACROSS.int8 ? 255 : 16;
  memory.i8.set(Int8Array.from({ length: N * K }, (_, i) => (37 * i) % most), from);
  memory.f32.fill(0.25, d / 4, d / 4 + 2 * N * GROUPS);
  wasm.packIntegers({ kind, w, k: K, first: 0, count: N, from, d, m: d + 4 * N * GROUPS });
  const product = (exact: number): Float32Array => {
    wasm.setExact(exact);
    const given = { kind, w, x, y, bias: 0, residual: 0, rows: ROWS, n: N, k: K, work };
    wasm.linearIntegers(given, 0, panelsOf(N));
    return memory.f32.slice(y / 4, y / 4 + ROWS * N);
  };
  const exact = product(1);
  const same = product(0).every((value, i) => value === exact[i]);
  places.forEach((address, i) => memory.free(address, sizes[i]! + 64));
  return same;
}
