/** The ways of multiplying integers have the same bits, and a device takes only those that its engine gets right. */
import { describe, expect, it, vi } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import { groupsOf } from "../../../src/tensor/integer-rows.js";
import { createRng } from "../../../src/tensor/rng.js";
import { compileKernels, createWasmDevice, instantiateKernels } from "../../../src/tensor/wasm/wasm-device.js";
import { WasmMemory } from "../../../src/tensor/wasm/memory.js";
import { DOT, EXACT, PAIRS } from "../../../src/tensor/wasm/kernels/constants.js";
import { chooseWay } from "../../../src/tensor/wasm/kernels/choose-way.js";

vi.mock("../../../src/tensor/wasm/kernels/choose-way.js", { spy: true });

/** A product has N columns, K values each. */
const [N, K] = [40, 170];

interface Given {
  /** @default "portable" */
  readonly build?: "portable" | "relaxed";
  readonly dtype: "int8" | "int4" | "int4-floats" | "int4-centred";
  /** @default EXACT */
  readonly way?: number;
  readonly rows?: number;
  readonly calls?: number;
  readonly scale?: number;
}

/** A product of random integers and activations, some of them large. */
async function product({ build = "portable", dtype, way = EXACT, rows = 19, calls = 1, scale = 1 }: Given) {
  vi.mocked(chooseWay).mockReturnValue(way);
  const device = await createWasmDevice({ host: nodeHost, build });
  if (build === "relaxed") expect(chooseWay).toHaveLastReturnedWith(way);
  const rng = createRng(1);
  const draw = (length: number, one: () => number) => Float32Array.from({ length }, one);
  const weight = device.createPacked(N, K, dtype);
  const scales = draw(N * groupsOf(K), () => rng.integer(64) / 256);
  device.packIntegers(weight, 0, {
    columns: K,
    integers: Int8Array.from(draw(N * K, () => rng.integer(dtype === "int8" ? 255 : 16))),
    scales,
    minimums: scales.map((d, i) => (dtype === "int4-centred" ? -8 * d : (i % 64) / 256)),
  });
  const x = device.upload(draw(rows * K, () => scale * rng.normal() * (rng.uniform() < 0.02 ? 30 : 1)));
  const multiply = () => device.kernels.linear(x, weight, rows, undefined, undefined);
  for (let call = 1; call < calls; call++) device.free(multiply());
  const y = await device.read(multiply());
  await device.dispose();
  return y;
}

describe.each(["int8", "int4", "int4-floats", "int4-centred"] as const)(
  "ways of multiplying %s have the same bits",
  (dtype) => {
    it("cold and hot", async () => {
      const exact = await product({ dtype });
      expect(await product({ build: "relaxed", dtype })).toEqual(exact);
      for (const calls of [1, 3000]) {
        expect(await product({ build: "relaxed", dtype, way: PAIRS, calls })).toEqual(exact);
      }
    });

    it("for one row and for many, in whole parts and in the rest of one", async () => {
      const most = await product({ dtype, rows: 131 });
      for (const rows of [1, 2, 3, 64, 65, 130]) {
        const some = most.subarray(0, rows * N);
        expect(await product({ dtype, rows })).toEqual(some);
        expect(await product({ build: "relaxed", dtype, way: PAIRS, rows })).toEqual(some);
      }
    });

    it("where activations are large, small or infinite", async () => {
      // One row scales its facts by 2^112: beyond 2^16 there is no room for that.
      for (const scale of [1e3, 1e5, 1e8, 1e30, 1e-30, 1e-36, Infinity]) {
        const exact = await product({ dtype, rows: 1, scale });
        expect(await product({ build: "relaxed", dtype, way: PAIRS, rows: 1, scale })).toEqual(exact);
        expect((await product({ build: "relaxed", dtype, way: PAIRS, scale })).subarray(0, N)).toEqual(exact);
      }
    });
  },
);

it("a way that this engine gets wrong is never chosen", async () => {
  const memory = new WasmMemory({ shared: false });
  const { module } = await compileKernels("relaxed", { shared: false }, nodeHost);
  const wasm = await instantiateKernels(module, memory.memory);
  wasm.setScratch(memory.allocate(4096));
  vi.mocked(chooseWay).mockReset();
  const wrong = vi.fn((given: Parameters<typeof wasm.linearIntegers>[0], begin: number, end: number) => {
    wasm.linearIntegers(given, begin, end);
    if (chosen === DOT || chosen === PAIRS) memory.f32[given.y / 4]! += 1;
  });
  let chosen = EXACT;
  const setWay = (way: number) => {
    chosen = way;
    wasm.setWay(way);
  };
  expect(chooseWay({ ...wasm, setWay, linearIntegers: wrong }, memory, performance.now.bind(performance))).toBe(EXACT);
  expect(wrong).toHaveBeenCalled();
  expect(memory.used).toBe(4096);
});
