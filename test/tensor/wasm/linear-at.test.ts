/** Single entries of a product have the bits that they have among all others, whatever their order. */
import { createDevice } from "early-exits/node";
import { type Device, weightDtypes } from "../../../src/tensor/device.js";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rowOf } from "../../laws/kernels/law.js";
import { linearCases, pack } from "../../laws/kernels/products.js";

const RUNS = 40;
const picks = fc.array(fc.nat(), { minLength: 1, maxLength: 60 });

describe.each(["relaxed", "portable"] as const)("linearAt in the %s build", (build) => {
  let device: Device;
  beforeAll(async () => {
    device = await createDevice("wasm", { build });
  });
  afterAll(() => device.dispose());

  it.each(weightDtypes)("computes any entries of any product with %s weights", (dtype) =>
    fc.assert(
      fc.asyncProperty(linearCases(dtype), picks, async (c, picked) => {
        if (c.rows === 0) return;
        const ids = picked.map((pick) => pick % c.n);
        const weight = pack(device, c.w, c.n, c.k, dtype);
        const bias = c.bias && device.upload(c.bias);
        const x = device.upload(rowOf(c.x, 0, c.rows));
        const product = await device.read(device.kernels.linear(x, weight, 1, bias, undefined));
        const entries = await device.read(device.screening!.linearAt(x, weight, ids, bias));
        expect([...entries]).toEqual(ids.map((id) => product[id]));
      }),
      { numRuns: RUNS },
    ),
  );
});
