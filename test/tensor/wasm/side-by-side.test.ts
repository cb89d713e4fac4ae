/**
 * Panels of bfloat16 lie side by side in pairs, and products read them at two places, in pieces or one by one. Whatever
 * the number of panels, rows and threads, their products have the bits of float32 weights with the same values.
 */
import { createDevice } from "early-exits/node";
import { createRng, PackedMatrix, scope, Tensor } from "early-exits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { linear } from "../../../src/tensor/ops/matmul.js";
import { casesHere } from "../../support/cases-here.js";

/** Matrices that fit the caches, and ones that are streamed from memory (from 2 ** 18 weights on). */
const sizes = fc.oneof(
  fc.record({ n: fc.integer({ min: 1, max: 200 }), k: fc.integer({ min: 1, max: 100 }) }),
  fc.record({ n: fc.integer({ min: 530, max: 900 }), k: fc.integer({ min: 500, max: 600 }) }),
);

/** One row has kernels of its own. */
const rowCounts = fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 18 }));

/** Where two arrays first differ; -1 nowhere. */
function firstDifference(a: Float32Array, b: Float32Array): number {
  return a.findIndex((value, i) => value !== b[i]);
}

describe.each([1, 2, 3])("%d threads", (threads) => {
  it("products with bfloat16 weights have the bits of float32", async () => {
    const device = await createDevice("wasm", { threads });
    await fc.assert(
      fc.asyncProperty(sizes, rowCounts, fc.nat(), async ({ n, k }, rows, seed) => {
        const rng = createRng(seed);
        const weights = Float32Array.from({ length: n * k }, () => rng.normal());
        const bits = new Uint32Array(weights.buffer);
        for (let i = 0; i < bits.length; i++) bits[i]! &= 0xffff0000; // bfloat16 holds them exactly
        const inputs = Float32Array.from({ length: rows * k }, () => rng.normal());

        const products: Float32Array[] = [];
        for (const dtype of ["float32", "bfloat16"] as const) {
          const weight = PackedMatrix.from(device, weights, [n, k], dtype);
          expect(firstDifference(await weight.read(), weights)).toBe(-1);
          const y = scope(() => linear(Tensor.from(device, inputs, [rows, k]), weight));
          products.push(await y.read());
          y.dispose();
          weight.dispose();
        }
        expect(firstDifference(products[1]!, products[0]!)).toBe(-1);
      }),
      { numRuns: casesHere(25) },
    );
    await device.dispose();
  });
});
