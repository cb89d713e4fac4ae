/**
 * Caches of keys and values in bfloat16 and int8. Both devices round the same values to the same bits, and attention
 * over such a cache has the very bits of attention over a float32 cache that holds the rounded values: that is all that
 * a smaller type changes.
 */
import fc from "fast-check";
import { createDevice } from "early-exits/node";
import { createReferenceDevice, type Device } from "early-exits/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import type { CacheStorage } from "../../../src/tensor/device.js";
import { createGpuDevice } from "../../../src/tensor/gpu/gpu-device.js";
import { seeds, values } from "../../laws/kernels/law.js";

interface Case {
  readonly dtype: "bfloat16" | "int8";
  readonly kvHeads: number;
  readonly heads: number;
  readonly headDim: number;
  readonly length: number;
  readonly asks: readonly number[];
  readonly window: number | undefined;
  readonly seed: number;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    dtype: fc.constantFrom("bfloat16", "int8"),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 3 }),
    headDim: fc.constantFrom(1, 4, 7, 16, 17, 33, 64),
    length: fc.integer({ min: 1, max: 150 }),
    asks: fc.array(fc.nat(), { minLength: 1, maxLength: 13 }),
    window: fc.option(fc.integer({ min: 1, max: 90 }), { nil: undefined }),
    seed: seeds,
  })
  .map(({ group, asks, ...rest }) => ({
    ...rest,
    heads: rest.kvHeads * group,
    asks: asks.map((ask) => ask % rest.length),
  }));

/** A cache that holds keys and values [length, 2·G·D]. */
function filled(
  device: Device,
  kv: Float32Array,
  { kvHeads, headDim, length }: Case,
  dtype: Case["dtype"] | "float32",
) {
  const cache = device.createCache(kvHeads, headDim, length, dtype);
  const rows = device.upload(kv);
  device.kernels.cacheWrite([{ cache, positions: Array.from({ length }, (_, i) => i) }], rows, undefined);
  device.free(rows);
  return cache;
}

/** Queries at `positions` of a cache. */
async function attended(
  device: Device,
  cache: CacheStorage,
  { heads, headDim, window, seed }: Case,
  positions: readonly number[],
): Promise<Float32Array> {
  const q = positions.map((position) => values(seed, `q${position}`, heads * headDim));
  const x = device.upload(Float32Array.from(q.flatMap((row) => [...row])));
  const y = device.kernels.cacheAttention([{ cache, positions }], x, heads, undefined, window);
  const found = (await device.read(y)).slice();
  device.free(x);
  device.free(y);
  return found;
}

const bitsOf = (data: Float32Array): number[] => [...new Uint32Array(data.slice().buffer)];

describe.each(["portable", "relaxed"] as const)("a cache of a smaller type, %s build", (build) => {
  const reference = createReferenceDevice();
  let device: Device;
  beforeAll(async () => {
    device = await createDevice("wasm", { build });
  });
  afterAll(() => device.dispose());

  it("holds the same values on every device, also as a copy of another capacity", () =>
    fc.assert(
      fc.asyncProperty(cases, async (c) => {
        const { kvHeads, headDim, length, dtype, seed } = c;
        const kv = values(seed, "kv", length * 2 * kvHeads * headDim);
        const cache = filled(device, kv, c, dtype);
        const copy = device.createCache(kvHeads, headDim, length + (seed % 70), dtype);
        device.copyCache(cache, copy, length);
        const expected = await reference.readCache(filled(reference, kv, c, dtype), 0, length);
        const positive = (data: Float32Array): Float32Array => data.map((value) => value + 0); // int8 has no -0
        for (const one of [cache, copy]) {
          const { keys, values: found } = await device.readCache(one, 0, length);
          expect(positive(keys)).toEqual(positive(expected.keys));
          expect(positive(found)).toEqual(positive(expected.values));
          device.freeCache(one);
        }
      }),
      { numRuns: 30 },
    ));

  it("is attended to with the bits of a float32 cache of the rounded values, in one row as in many", () =>
    fc.assert(
      fc.asyncProperty(cases, async (c) => {
        const { kvHeads, headDim, length, dtype, asks, seed } = c;
        const width = kvHeads * headDim;
        const kv = values(seed, "kv", length * 2 * width);
        const cache = filled(device, kv, c, dtype);
        const rounded = await device.readCache(cache, 0, length);
        for (let t = 0; t < length; t++) {
          kv.set(rounded.keys.subarray(t * width, (t + 1) * width), 2 * t * width);
          kv.set(rounded.values.subarray(t * width, (t + 1) * width), (2 * t + 1) * width);
        }
        const wide = filled(device, kv, c, "float32");
        const together = await attended(device, cache, c, asks);
        expect(bitsOf(together)).toEqual(bitsOf(await attended(device, wide, c, asks)));
        const alone = await attended(device, cache, c, asks.slice(-1));
        expect(bitsOf(alone)).toEqual(bitsOf(together.subarray(-alone.length)));
        device.freeCache(cache);
        device.freeCache(wide);
      }),
      { numRuns: 60 },
    ));

  it("takes half, or a little more than a quarter, of the bytes", () => {
    const [float32, bfloat16, int8] = (["float32", "bfloat16", "int8"] as const).map(
      (dtype) => device.createCache(3, 64, 640, dtype).bytes,
    ) as [number, number, number];
    expect(float32).toBe(2 * 3 * 64 * 640 * 4);
    expect(bfloat16).toBe(float32 / 2);
    expect(int8).toBe(float32 / 4 + 2 * 3 * 640 * 4);
  });
});

describe("the GPU device", () => {
  it("refuses a cache of a smaller type", async () => {
    const device = await createGpuDevice({ mode: "cpu", host: nodeHost });
    expect(() => device.createCache(1, 4, 8, "int8")).toThrow(
      expect.objectContaining({ code: "gpu-cache-dtype", message: expect.stringContaining("float32 only") as string }),
    );
    await device.dispose();
  });
});
