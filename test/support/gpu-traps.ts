/**
 * Silent errors of gpu.js and graphics drivers, tested where it could affect this library. Besides the known
 * traps, two were found here: WebGL continues after an early return, and every declared variable is a float. The tests
 * run on every backend of the device.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PackedStorage, Storage } from "../../src/tensor/device.js";
import type { GpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { GpuPacked } from "../../src/tensor/gpu/weights.js";

const PLAIN = { transposeA: false, transposeB: false } as const;
const ramp = (length: number) => Float32Array.from({ length }, (_, i) => i);

export function describeGpuTraps(name: string, createDevice: () => Promise<GpuDevice>) {
  describe(`traps of gpu.js, ${name}`, () => {
    let device: GpuDevice;
    beforeAll(async () => {
      device = await createDevice();
    });
    afterAll(() => device.dispose());
    const ones = (length: number) => device.upload(new Float32Array(length).fill(1));
    const read = async (storage: Storage) => Array.from(await device.read(storage));

    it("no loop is cut at 1000 turns", async () => {
      const k = 3001;
      const { kernels } = device;
      expect(await read(kernels.matmul(ones(k), ones(k), { ...PLAIN, m: 1, n: 1, k, transposeB: true }))).toEqual([k]);
      expect(await read(kernels.sumTo(ones(5000), [5000, 1], [1, 1]))).toEqual([5000]);
      expect(await read(kernels.sumTo(ones(4000), [2000, 2], [1, 2]))).toEqual([2000, 2000]);
    });

    it("activations are finite where a tanh of the driver is not", async () => {
      const x = device.upload([-1000, -100, -45, 45, 100, 1000]);
      const rounded = async (y: Storage) => (await read(y)).map((value) => Math.round(value) + 0);
      for (const op of ["geluTanh", "gelu", "silu"] as const) {
        expect(await rounded(device.kernels.unary(op, x)), op).toEqual([0, 0, 0, 45, 100, 1000]);
        expect(await rounded(device.kernels.unaryBackward(op, x, ones(6))), op).toEqual([0, 0, 0, 1, 1, 1]);
      }
    });

    it("a masked position has no weight at all, whatever its score", async () => {
      const headDim = 4;
      const q = device.upload(new Float32Array(3 * headDim).fill(-100));
      // later positions have higher scores
      const k = device.upload(Float32Array.from({ length: 3 * headDim }, (_, i) => (i < headDim ? 100 : -100)));
      const v = device.upload(Float32Array.from({ length: 3 * headDim }, (_, i) => Math.floor(i / headDim)));
      const y = await read(device.kernels.attention(q, k, v, { batch: 1, time: 3, heads: 1, kvHeads: 1, headDim }));
      expect(y.slice(0, 2 * headDim)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    });

    it("a second-largest logit that does not exist is -Infinity", async () =>
      expect(await read(device.kernels.rowStats(device.upload([3]), 1, 1))).toEqual([0, 3, -Infinity, 3, 0]));

    it("later calls leave earlier results alone", async () => {
      const first = device.kernels.scale(device.upload([1, 2, 3]), 2);
      const second = device.kernels.scale(device.upload([10, 20, 30]), 2);
      expect(await read(first)).toEqual([2, 4, 6]);
      expect(await read(second)).toEqual([20, 40, 60]);
      const again = device.kernels.scale(first, 2);
      expect(await read(first)).toEqual([2, 4, 6]);
      expect(await read(again)).toEqual([4, 8, 12]);
    });

    it("one compiled kernel serves every shape and every number", async () => {
      const product = (m: number, n: number, k: number) =>
        read(
          device.kernels.matmul(
            device.upload(new Float32Array(m * k).fill(2)),
            device.upload(new Float32Array(k * n).fill(3)),
            { ...PLAIN, m, n, k },
          ),
        );
      await product(2, 2, 2);
      await read(device.kernels.scale(device.upload([1]), 1));
      const { kernels } = device.counts();
      for (const [m, n, k] of [
        [1, 1, 1],
        [7, 3, 50],
        [2, 90, 5],
        [2, 2, 2],
      ] as const) {
        expect(await product(m, n, k)).toEqual(new Array(m * n).fill(6 * k));
      }
      expect(await read(device.kernels.scale(device.upload([1, 2]), 0.5))).toEqual([0.5, 1]);
      expect(await read(device.kernels.scale(device.upload([1]), 3))).toEqual([3]);
      expect(device.counts().kernels).toBe(kernels);
    });

    it("branches that decide early are not overwritten", async () => {
      const [none, loss] = await read(device.kernels.crossEntropy(device.upload([1, 2, 3, 4]), [-1, 1], 2, 2));
      expect(none).toBe(0);
      expect(loss).toBeCloseTo(0.3133, 4);
    });

    it("weights beyond one array are split, and nobody notices", async () => {
      // A smaller limit, the same code: with the device's own limit, the test would need 128 MB of weights.
      const rows = 11;
      const columns = 6;
      const data = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i));
      const whole = device.createPacked(rows, columns, "float32");
      if (!(whole instanceof GpuPacked)) throw new Error("not a GpuPacked");
      const split = new GpuPacked(whole.engine, rows, columns, "float32", 4 * columns);
      expect([whole.parts.length, split.parts.length]).toEqual([1, 3]);
      device.packRows(whole, 0, data);
      for (let row = 0; row < rows; row += 3) {
        device.packRows(split, row, data.subarray(row * columns, (row + 3) * columns));
      }
      const x = device.upload(ramp(2 * columns));
      const bias = device.upload(ramp(rows));
      const residual = device.upload(ramp(2 * rows));
      const results = async (packed: PackedStorage) => [
        Array.from(await device.readPacked(packed)),
        await read(device.kernels.linear(x, packed, 2, bias, residual)),
        await read(device.kernels.linear(device.kernels.slice(x, 0, columns), packed, 1, bias, undefined)),
        await read(device.kernels.gatherPacked(packed, [10, 0, 5, 4, 3])),
      ];
      expect(await results(split)).toEqual(await results(whole));
      const parts = await read(device.kernels.linearBackward(residual, split, 2));
      const one = await read(device.kernels.linearBackward(residual, whole, 2));
      parts.forEach((value, i) => expect(value).toBeCloseTo(one[i]!, 4)); // added in another order
    });

    it("nothing is left behind", async () => {
      const { handles } = device.counts();
      const x = device.upload(ramp(600));
      const dims = { batch: 2, time: 5, heads: 2, kvHeads: 1, headDim: 3 };
      const q = device.upload(ramp(60));
      const kv = device.upload(ramp(30));
      const { dq, dk, dv } = device.kernels.attentionBackward(q, kv, kv, q, dims);
      const made = [
        ...[x, q, kv, dq, dk, dv],
        device.kernels.rowStats(x, 2, 300),
        device.kernels.softmax(x, 2, 300),
        device.kernels.sumSquares(x),
        device.kernels.concat([x, q, kv]),
      ];
      await Promise.all(made.map((storage) => device.read(storage)));
      for (const storage of made) device.free(storage);
      await device.read(device.upload([1]));
      // the last upload, and the positions that are kept for the next call
      expect(device.counts().handles).toBe(handles + 1 + 1);
    });
  });
}
