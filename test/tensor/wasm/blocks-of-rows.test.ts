/** Rows are multiplied in blocks: products of many rows have the bits of their rows one by one, at block ends too. */
import { createDevice } from "early-exits/node";
import { PackedMatrix } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { weightDtypes } from "../../../src/tensor/device.js";
import { values } from "../../laws/kernels/law.js";

const [N, K] = [1030, 260]; // so large that few rows stream W
const MOST = 257;

describe.each([1, 2])("%d threads", (threads) => {
  it.each(weightDtypes)("%s", async (dtype) => {
    const device = await createDevice("wasm", { threads });
    const weight = PackedMatrix.from(device, values(7, "w", N * K), [N, K], dtype);
    const x = values(7, "x", MOST * K).map((value, i) => (i % 37 === 0 ? 20 * value : value)); // groups of two dots too
    const product = (begin: number, rows: number) => {
      const given = device.upload(x.subarray(begin * K, (begin + rows) * K));
      return device.read(device.kernels.linear(given, weight.storage, rows, undefined, undefined));
    };
    const alone = new Float32Array(MOST * N);
    for (let row = 0; row < MOST; row++) alone.set(await product(row, 1), row * N);
    for (const rows of [2, 3, 5, 63, 64, 65, 127, 128, 129, 130, 191, 193, MOST]) {
      expect(await product(0, rows)).toEqual(alone.subarray(0, rows * N));
    }
    await device.dispose();
  });
});
