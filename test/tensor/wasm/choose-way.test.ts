/** The ways of multiplying integers have the same bits, and a device takes only those that its engine gets right. */
import { describe, expect, it, vi } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import { createRng } from "../../../src/tensor/rng.js";
import { compileKernels, instantiateKernels, WasmMemory } from "../../../src/tensor/wasm/index.js";
import { chooseWay, WAYS } from "../../../src/tensor/wasm/kernels/index.js";
import { ACROSS, panelsOf } from "../../../src/tensor/wasm/products.js";

const now = (): number => performance.now();

/** A product of random integers and activations, some of them large, one row after another or all at once. */
async function product(build: "portable" | "relaxed", kind: number, way: number, calls: number): Promise<Float32Array> {
  const memory = new WasmMemory({ shared: false });
  const wasm = await instantiateKernels((await compileKernels(build, false, nodeHost)).module, memory.memory);
  wasm.setScratch(memory.allocate(4096));
  const [rows, n, k, groups] = [19, 40, 170, 6];
  const rng = createRng(1);
  const w = memory.allocate(panelsOf(n) * wasm.panelBytes(kind, k));
  wasm.fillZeros(w, (panelsOf(n) * wasm.panelBytes(kind, k)) / 4);
  const [from, d, x, y] = [n * k, 8 * n * groups, 4 * rows * k + 64, 4 * rows * n + 64].map((size) =>
    memory.allocate(size),
  ) as [number, number, number, number];
  const most = kind === ACROSS.int8 ? 255 : 16;
  memory.i8.set(
    Int8Array.from({ length: n * k }, () => Math.floor(rng.uniform() * most)),
    from,
  );
  memory.f32.set(
    Float32Array.from({ length: 2 * n * groups }, () => Math.floor(rng.uniform() * 64) / 256),
    d / 4,
  );
  wasm.packIntegers({ kind, w, k, first: 0, count: n, from, d, m: d + 4 * n * groups });
  const values = Float32Array.from({ length: rows * k }, () => rng.normal() * (rng.uniform() < 0.02 ? 30 : 1));
  memory.f32.set(values, x / 4);
  const work = memory.allocate(wasm.integerWorkBytes(rows, k));
  wasm.setWay(way);
  const given = { kind, w, x, y, bias: 0, residual: 0, rows, n, k, work };
  for (let call = 0; call < calls; call++) wasm.linearIntegers(given, 0, panelsOf(n));
  return memory.f32.slice(y / 4, y / 4 + rows * n);
}

describe("ways of multiplying integers", () => {
  it.each(["int8", "int4", "int4-floats"] as const)("have the same bits for %s, cold and hot", async (dtype) => {
    const exact = await product("portable", ACROSS[dtype], WAYS.exact, 1);
    expect(await product("relaxed", ACROSS[dtype], WAYS.exact, 1)).toEqual(exact);
    for (const calls of [1, 3000]) expect(await product("relaxed", ACROSS[dtype], WAYS.pairs, calls)).toEqual(exact);
  });

  it("never choose one that this engine gets wrong", async () => {
    const memory = new WasmMemory({ shared: false });
    const wasm = await instantiateKernels((await compileKernels("relaxed", false, nodeHost)).module, memory.memory);
    wasm.setScratch(memory.allocate(4096));
    const wrong = vi.fn((given: Parameters<typeof wasm.linearIntegers>[0], begin: number, end: number) => {
      wasm.linearIntegers(given, begin, end);
      if (chosen === WAYS.dot || chosen === WAYS.pairs) memory.f32[given.y / 4]! += 1;
    });
    let chosen: number = WAYS.exact;
    const setWay = (way: number): void => {
      chosen = way;
      wasm.setWay(way);
    };
    expect(chooseWay({ ...wasm, setWay, linearIntegers: wrong }, memory, now)).toBe(WAYS.exact);
    expect(wrong).toHaveBeenCalled();
    expect(memory.used).toBe(4096);
  });
});
