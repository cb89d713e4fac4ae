/**
 * Caches of keys and values in bfloat16 and int8. Both devices round the same values to the same bits, and attention
 * over such a cache has the very bits of attention over a float32 cache that holds the rounded values: that is all that
 * a smaller type changes.
 */
import { createDevice } from "early-exits/node";
import { createReferenceDevice, type Device } from "early-exits/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import type { CacheSegment } from "../../../src/tensor/device.js";
import { createGpuDevice } from "../../../src/tensor/gpu/gpu-device.js";
import { type CacheCase, cacheCasesOf, fill } from "../../laws/kernels/attention.js";
import { expectCode } from "../../support/expect-code.js";
import { casesHere, fc, test } from "../../support/property.js";

const cases = cacheCasesOf(1, 150, fc.constantFrom(1, 4, 7, 16, 17, 33, 64));
const dtypes = fc.constantFrom("bfloat16" as const, "int8" as const);
const free = (device: Device, segments: readonly CacheSegment[]) =>
  segments.forEach(({ cache }) => device.freeCache(cache));

/** Bits of attention for all queries of a case, or for the last one alone. */
async function attended(device: Device, segments: readonly CacheSegment[], { heads, headDim, window, q }: CacheCase) {
  const rows = segments.reduce((count, { positions }) => count + positions.length, 0);
  const x = device.upload(q.slice(q.length - rows * heads * headDim));
  const y = await device.read(device.kernels.cacheAttention(segments, x, heads, undefined, window));
  return [...new Uint32Array(y.slice().buffer)];
}

describe.each(["portable", "relaxed"] as const)("a cache of a smaller type, %s build", (build) => {
  const reference = createReferenceDevice();
  let device: Device;
  beforeAll(async () => {
    device = await createDevice("wasm", { build });
  });
  afterAll(() => device.dispose());

  test.prop([cases, dtypes, fc.nat(70)], { numRuns: casesHere(30) })(
    "holds the same values on every device, also as a copy of another capacity",
    async (c, dtype, room) => {
      const segments = fill(device, c, undefined, dtype);
      const expected = fill(reference, c, undefined, dtype);
      const positive = (data: Float32Array) => data.map((value) => value + 0); // int8 has no -0
      for (const [i, { length }] of c.sequences.entries()) {
        const copy = device.createCache(c.kvHeads, c.headDim, length + room, dtype);
        device.copyCache(segments[i]!.cache, copy, length);
        const wanted = await reference.readCache(expected[i]!.cache, 0, length);
        for (const one of [segments[i]!.cache, copy]) {
          const { keys, values } = await device.readCache(one, 0, length);
          expect(positive(keys)).toEqual(positive(wanted.keys));
          expect(positive(values)).toEqual(positive(wanted.values));
        }
        device.freeCache(copy);
      }
      free(device, segments);
    },
  );

  test.prop([cases, dtypes], { numRuns: casesHere(60) })(
    "is attended to with the bits of a float32 cache of the rounded values, in one row as in many",
    async (c, dtype) => {
      const width = c.kvHeads * c.headDim;
      const segments = fill(device, c, undefined, dtype);
      const rounded = await Promise.all(
        c.sequences.map(async (sequence, i) => {
          const { keys, values } = await device.readCache(segments[i]!.cache, 0, sequence.length);
          const kv = sequence.kv.map((_, at) => {
            const row = Math.floor(at / (2 * width));
            const column = at % (2 * width);
            return column < width ? keys[row * width + column]! : values[row * width + column - width]!;
          });
          return { ...sequence, kv };
        }),
      );
      const wide = fill(device, { ...c, sequences: rounded }, undefined);
      const together = await attended(device, segments, c);
      expect(together).toEqual(await attended(device, wide, c));
      const { cache, positions } = segments.at(-1)!;
      const alone = await attended(device, [{ cache, positions: positions.slice(-1) }], c);
      expect(alone).toEqual(together.slice(-alone.length));
      free(device, [...segments, ...wide]);
    },
  );

  it("takes half, or a little more than a quarter, of the bytes", () => {
    const [float32, bfloat16, int8] = (["float32", "bfloat16", "int8"] as const).map(
      (dtype) => device.createCache(3, 64, 640, dtype).bytes,
    ) as [number, number, number];
    expect(float32).toBe(2 * 3 * 64 * 640 * 4);
    expect(bfloat16).toBe(float32 / 2);
    expect(int8).toBe(float32 / 4 + 2 * 3 * 640 * 4);
  });
});

it("the GPU device refuses a cache of a smaller type", async () => {
  const device = await createGpuDevice({ mode: "cpu", host: nodeHost });
  await expectCode(() => device.createCache(1, 4, 8, "int8"), "gpu-cache-dtype", "float32 only");
  await device.dispose();
});
