/** Tiles for vectors of 256 bits have the bits of the others, and are taken where an engine joins vectors. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { DeviceError } from "../../../src/errors.js";
import { nodeHost } from "../../../src/node/host.js";
import type { Device, PackedDtype } from "../../../src/tensor/device.js";
import type { Host } from "../../../src/tensor/host.js";
import { createRng } from "../../../src/tensor/rng.js";
import { chooseWide } from "../../../src/tensor/wasm/kernels/index.js";
import type { NamedKernels } from "../../../src/tensor/wasm/kernels/kernels.generated.js";
import { createWasmDevice } from "../../../src/tensor/wasm/wasm-device.js";

const faster = vi.hoisted(() => ({ answer: undefined as boolean | undefined }));
vi.mock("../../../src/tensor/wasm/kernels/choose-wide.js", async (original) => {
  const module = await original<{ chooseWide: (wasm: NamedKernels, now: () => number) => Promise<boolean> }>();
  return {
    chooseWide: (wasm: NamedKernels, now: () => number) =>
      faster.answer === undefined ? module.chooseWide(wasm, now) : Promise.resolve(faster.answer),
  };
});

/** A host whose engine says that it joins vectors. */
const joining: Host = { ...nodeHost, enableWideVectors: () => true };

const draw = (seed: number, length: number): Float32Array => {
  const rng = createRng(seed);
  return Float32Array.from({ length }, () => rng.normal() * (rng.uniform() < 0.02 ? 30 : 1));
};

async function product(device: Device, dtype: PackedDtype, rows: number, n: number, k: number): Promise<Float32Array> {
  const weight = device.createPacked(n, k, dtype);
  device.packRows(weight, 0, draw(1, n * k));
  const x = device.upload(draw(2, rows * k));
  return device.read(device.kernels.linear(x, weight, rows, undefined, device.upload(draw(3, rows * n))));
}

async function attention(device: Device, rows: number, first: number, window: number): Promise<Float32Array> {
  const [heads, kvHeads, headDim] = [6, 2, 20];
  const length = first + rows;
  const cache = device.createCache(kvHeads, headDim, length, "float32");
  const positions = Array.from({ length }, (_, i) => i);
  device.kernels.cacheWrite([{ cache, positions }], device.upload(draw(4, 2 * length * kvHeads * headDim)), undefined);
  const q = device.upload(draw(5, rows * heads * headDim));
  const some = [{ cache, positions: positions.slice(first) }];
  return device.read(device.kernels.cacheAttention(some, q, heads, undefined, window));
}

describe("tiles for vectors of 256 bits", () => {
  afterEach(() => void (faster.answer = undefined));

  it.each([1, 2])("have the bits of the others, on %i threads", async (threads) => {
    const narrow = await createWasmDevice({ host: nodeHost });
    faster.answer = true;
    const wide = await createWasmDevice({ host: joining, vectors: 256, threads });
    expect(wide.info.description).toContain("256 bits");
    for (const dtype of ["float32", "bfloat16", "int8", "int4"] as const) {
      for (const rows of [1, 3, 7, 17, 22, 131]) {
        for (const [n, k] of [
          [40, 70],
          [272, 96],
        ] as const) {
          const given = [dtype, rows, n, k] as const;
          expect(await product(wide, ...given), given.join(" ")).toEqual(await product(narrow, ...given));
        }
      }
    }
    for (const [rows, first, window] of [
      [1, 40, 0],
      [5, 60, 0],
      [21, 0, 0],
      [40, 70, 50],
    ] as const) {
      expect(await attention(wide, rows, first, window)).toEqual(await attention(narrow, rows, first, window));
    }
    await wide.dispose();
  });

  it("are taken only if they are faster", async () => {
    faster.answer = false;
    const device = await createWasmDevice({ host: joining, vectors: 256 });
    expect(device.info.description).not.toContain("256 bits");
  });

  it("are refused where the engine cannot join vectors, and in the portable build", async () => {
    for (const options of [{ host: { now: () => performance.now() } }, { host: joining, build: "portable" }] as const) {
      await expect(createWasmDevice({ ...options, vectors: 256 })).rejects.toThrow(DeviceError);
    }
  });
});

describe("chooseWide", () => {
  /** An engine in which a product of four rows takes so long, by a clock of its own, and two of two rows 1. */
  const engine = (four: number): readonly [NamedKernels, () => number] => {
    let time = 0;
    const probeWide = (asked: number): void => void (time += asked === 1 ? four : 1);
    return [{ probeWide } as unknown as NamedKernels, () => time];
  };

  it("takes wide tiles where they are clearly faster", async () => {
    expect(await chooseWide(...engine(0.6))).toBe(true);
    expect(await chooseWide(...engine(0.95))).toBe(false);
    expect(await chooseWide(...engine(1.5))).toBe(false);
  });
});
