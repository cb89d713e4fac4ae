/** Rows of four bits times a vector: bit for bit a plain loop. */
import { between, fc, test } from "../support/property.js";
import { Tensor, createRng } from "early-exits/tensor";
import { expect } from "vitest";
import { addNibbleRows, nibbleRowWords, toNibbleRows } from "../../src/tensor/ops/nibble-rows.js";
import { devicesHere } from "../support/devices.js";
import { times } from "../support/lists.js";

const { wasm } = await devicesHere();

const largestOf = (values: Float32Array) => Math.max(...values.map(Math.abs));

/** coarse + d · s · Σ q a, with every operation rounded once. */
function plainProduct(coarse: number, row: Float32Array, x: Float32Array) {
  const step = largestOf(x) / 8191;
  const inverse = largestOf(row) === 0 ? 0 : 7 / largestOf(row);
  let sum = 0;
  for (const [k, value] of row.entries()) sum += Math.round(value * inverse) * (step && Math.round(x[k]! / step));
  const factor = Math.fround(Math.fround(largestOf(row) / 7) * Math.fround(step));
  return Math.fround(coarse + Math.fround(Math.fround(sum) * factor));
}

const factors = fc.constantFrom(1, 1e-3, 1e9, 0);
test.prop([between(1, 50), between(1, 130), fc.integer(), factors, factors])(
  "some rows of many are a plain loop's",
  async (n, k, seed, ofRows, ofX) => {
    const rng = createRng(seed);
    const floats = (length: number, factor = 1) => Float32Array.from({ length }, () => factor * rng.normal());
    const rows = times(n, (i) => floats(k, i % 3 === 0 ? 1 : ofRows));
    const x = floats(k, ofX);
    const coarse = floats(2 * n);
    const ids = [...rows.keys()].filter(() => rng.uniform() < 0.7);
    const words = toNibbleRows(Float32Array.from(rows.flatMap((row) => [...row])), k);
    const y = addNibbleRows(
      Tensor.from(wasm, coarse, [2, n]),
      1,
      Tensor.from(wasm, words, [n, nibbleRowWords(k)]),
      x,
      ids,
    );
    expect([...(await y.read())]).toEqual(ids.map((id) => plainProduct(coarse[n + id]!, rows[id]!, x)));
  },
);
