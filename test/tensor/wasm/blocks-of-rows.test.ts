/** Rows are multiplied in blocks: products of many rows have the bits of their rows one by one, at block ends too. */
import { createDevice } from "early-exits/node";
import { createRng, type PackedDtype, PackedMatrix, scope, Tensor } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { linear } from "../../../src/tensor/ops/matmul.js";

const shapes = [
  [40, 32],
  [64, 96],
  [100, 160],
] as const;
const counts = [63, 64, 65, 127, 128, 129, 130, 191, 193, 255, 256, 257];

describe.each([1, 2])("%d threads", (threads) => {
  it.each(["float32", "bfloat16", "int8", "int4"] satisfies PackedDtype[])("%s", async (dtype) => {
    const device = await createDevice("wasm", { threads });
    const rng = createRng(7);
    for (const [n, k] of shapes) {
      const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => rng.normal());
      const weight = PackedMatrix.from(device, values(n * k), [n, k], dtype);
      const most = Math.max(...counts);
      const x = values(most * k).map((value, i) => (i % 37 === 0 ? 20 * value : value)); // groups of two dots too
      const product = async (begin: number, rows: number): Promise<Float32Array> => {
        const y = scope(() =>
          linear(Tensor.from(device, x.subarray(begin * k, (begin + rows) * k), [rows, k]), weight),
        );
        const read = await y.read();
        y.dispose();
        return read;
      };
      const alone: number[] = [];
      for (let row = 0; row < most; row++) alone.push(...(await product(row, 1)));
      for (const rows of counts) expect([...(await product(0, rows))]).toEqual(alone.slice(0, rows * n));
      weight.dispose();
    }
    await device.dispose();
  });
});
