/** Single entries of a product have the bits that they have among all others, for any number of rows. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import { createRng } from "../../../src/tensor/rng.js";
import { createWasmDevice, type WasmDevice } from "../../../src/tensor/wasm/wasm-device.js";

const RUNS = 150;

describe.each(["relaxed", "portable"] as const)("linearAt in the %s build", (build) => {
  let device: WasmDevice;
  beforeAll(async () => {
    device = await createWasmDevice({ host: nodeHost, build });
  });

  it("computes any entries of any product with the bits of many rows, whatever the order of the entries", async () => {
    const products = fc.record({
      dtype: fc.constantFrom("float32" as const, "bfloat16" as const, "int8" as const, "int4" as const),
      n: fc.integer({ min: 1, max: 200 }),
      k: fc.integer({ min: 1, max: 150 }),
      bias: fc.boolean(),
      seed: fc.nat(),
      picks: fc.array(fc.nat(), { minLength: 1, maxLength: 60 }),
      ascending: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(products, async ({ dtype, n, k, bias: hasBias, seed, picks, ascending }) => {
        const rng = createRng(seed);
        // Some values are large, so that groups of both kinds occur.
        const draw = (length: number): Float32Array =>
          Float32Array.from({ length }, () => rng.normal() * (rng.uniform() < 0.02 ? 30 : 1));
        const ids = picks.map((pick) => pick % n);
        if (ascending) ids.sort((a, b) => a - b);
        const weight = device.createPacked(n, k, dtype);
        device.packRows(weight, 0, draw(n * k));
        const bias = hasBias ? device.upload(draw(n)) : undefined;
        const x = draw(2 * k);
        const [rows, one] = [device.upload(x), device.upload(x.subarray(k))];
        const product = device.kernels.linear(rows, weight, 2, bias, undefined);
        const alone = device.kernels.linear(one, weight, 1, bias, undefined);
        const entries = device.screening!.linearAt(one, weight, ids, bias);
        const expected = (await device.read(product)).subarray(n);
        expect(await device.read(alone)).toEqual(expected);
        expect([...(await device.read(entries))]).toEqual(ids.map((id) => expected[id]));
        for (const storage of [rows, one, product, alone, entries, ...(bias ? [bias] : [])]) device.free(storage);
        device.freePacked(weight);
      }),
      { numRuns: RUNS },
    );
  });
});
