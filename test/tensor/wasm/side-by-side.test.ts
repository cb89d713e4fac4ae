/**
 * Panels of bfloat16 lie side by side in pairs, and products read them at two places, in pieces or one by one. Whatever
 * the number of panels, rows and threads, their products have the bits of float32 weights with the same values.
 */
import { createDevice } from "early-exits/node";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bf16ToFloat32, float32ToBf16 } from "../../../src/tensor/formats/half-floats.js";
import { linearCases, runLinear, streamedCases } from "../../laws/kernels/products.js";
import { casesHere } from "../../support/cases-here.js";

/** Matrices that fit the caches, and ones that are streamed from memory (from 2 ** 18 weights on). */
const cases = fc.oneof(linearCases("float32"), streamedCases);

describe.each([1, 2, 3])("%d threads", (threads) => {
  it("products with bfloat16 weights have the bits of float32", async () => {
    const device = await createDevice("wasm", { threads });
    await fc.assert(
      fc.asyncProperty(cases, async (c) => {
        const w = bf16ToFloat32(float32ToBf16(c.w)); // bfloat16 holds them exactly
        const product = (dtype: "float32" | "bfloat16") => device.read(runLinear(device, { ...c, w, dtype }).y);
        const expected = await product("float32");
        expect((await product("bfloat16")).findIndex((value, i) => value !== expected[i])).toBe(-1);
      }),
      { numRuns: casesHere(25) },
    );
    await device.dispose();
  });
});
