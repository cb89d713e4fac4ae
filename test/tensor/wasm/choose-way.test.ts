/** The ways of multiplying integers have the same bits, and a device takes only those that its engine gets right. */
import { describe, expect, it, vi } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import { createRng } from "../../../src/tensor/rng.js";
import { compileKernels, instantiateKernels } from "../../../src/tensor/wasm/wasm-device.js";
import { WasmMemory } from "../../../src/tensor/wasm/memory.js";
import { DOT, EXACT, PAIRS } from "../../../src/tensor/wasm/kernels/constants.js";
import { chooseWay } from "../../../src/tensor/wasm/kernels/choose-way.js";
import { ACROSS, panelsOf } from "../../../src/tensor/wasm/products.js";

const now = (): number => performance.now();

/** Columns of a product. */
const N = 40;

interface Given {
  readonly build: "portable" | "relaxed";
  readonly kind: number;
  readonly way: number;
  readonly rows?: number;
  readonly calls?: number;
  readonly scale?: number;
}

/** The kernels of a build in memory of their own. */
async function load(build: Given["build"]) {
  const memory = new WasmMemory({ shared: false });
  const { module } = await compileKernels(build, { shared: false }, nodeHost);
  const wasm = await instantiateKernels(module, memory.memory);
  wasm.setScratch(memory.allocate(4096));
  return { memory, wasm };
}

/** A product of random integers and activations, some of them large. */
async function product({ build, kind, way, rows = 19, calls = 1, scale = 1 }: Given): Promise<Float32Array> {
  const { memory, wasm } = await load(build);
  const [k, groups] = [170, 6];
  const rng = createRng(1);
  const w = memory.allocate(panelsOf(N) * wasm.panelBytes(kind, k));
  wasm.fillZeros(w, (panelsOf(N) * wasm.panelBytes(kind, k)) / 4);
  const [from, d, x, y] = [N * k, 8 * N * groups, 4 * rows * k + 64, 4 * rows * N + 64].map((size) =>
    memory.allocate(size),
  ) as [number, number, number, number];
  const most = kind === ACROSS.int8 ? 255 : 16;
  memory.i8.set(
    Int8Array.from({ length: N * k }, () => Math.floor(rng.uniform() * most)),
    from,
  );
  memory.f32.set(
    Float32Array.from({ length: 2 * N * groups }, () => Math.floor(rng.uniform() * 64) / 256),
    d / 4,
  );
  wasm.packIntegers({ kind, w, k, first: 0, count: N, from, d, m: d + 4 * N * groups });
  const values = Float32Array.from({ length: rows * k }, () => scale * rng.normal() * (rng.uniform() < 0.02 ? 30 : 1));
  memory.f32.set(values, x / 4);
  const work = memory.allocate(wasm.integerWorkBytes(rows, k));
  const quantized = memory.allocate(wasm.quantizedBytes(rows, k));
  wasm.setWay(way);
  const given = { kind, w, x: rows > 1 ? quantized : x, y, bias: 0, residual: 0, rows, n: N, k, work };
  for (let call = 0; call < calls; call++) {
    if (rows > 1) wasm.quantizeIntegers({ kind, x, quantized, rows, k, work }, 0, Math.ceil(rows / 64));
    wasm.linearIntegers(given, 0, panelsOf(N));
  }
  return memory.f32.slice(y / 4, y / 4 + rows * N);
}

describe.each(["int8", "int4", "int4-floats"] as const)("ways of multiplying %s have the same bits", (dtype) => {
  const kind = ACROSS[dtype];

  it("cold and hot", async () => {
    const exact = await product({ build: "portable", kind, way: EXACT });
    expect(await product({ build: "relaxed", kind, way: EXACT })).toEqual(exact);
    for (const calls of [1, 3000]) {
      expect(await product({ build: "relaxed", kind, way: PAIRS, calls })).toEqual(exact);
    }
  });

  it("for one row and for many, in whole parts and in the rest of one", async () => {
    const most = await product({ build: "portable", kind, way: EXACT, rows: 131 });
    for (const rows of [1, 2, 3, 64, 65, 130]) {
      const some = most.subarray(0, rows * N);
      expect(await product({ build: "portable", kind, way: EXACT, rows })).toEqual(some);
      expect(await product({ build: "relaxed", kind, way: PAIRS, rows })).toEqual(some);
    }
  });

  it("where activations are large, small or infinite", async () => {
    // One row scales its facts by 2^112: beyond 2^16 there is no room for that.
    for (const scale of [1e3, 1e5, 1e8, 1e30, 1e-30, 1e-36, Infinity]) {
      const exact = await product({ build: "portable", kind, way: EXACT, rows: 1, scale });
      expect(await product({ build: "relaxed", kind, way: PAIRS, rows: 1, scale })).toEqual(exact);
      expect((await product({ build: "relaxed", kind, way: PAIRS, scale })).subarray(0, N)).toEqual(exact);
    }
  });
});

it("a way that this engine gets wrong is never chosen", async () => {
  const { memory, wasm } = await load("relaxed");
  const wrong = vi.fn((given: Parameters<typeof wasm.linearIntegers>[0], begin: number, end: number) => {
    wasm.linearIntegers(given, begin, end);
    if (chosen === DOT || chosen === PAIRS) memory.f32[given.y / 4]! += 1;
  });
  let chosen: number = EXACT;
  const setWay = (way: number): void => {
    chosen = way;
    wasm.setWay(way);
  };
  expect(chooseWay({ ...wasm, setWay, linearIntegers: wrong }, memory, now)).toBe(EXACT);
  expect(wrong).toHaveBeenCalled();
  expect(memory.used).toBe(4096);
});
