/** The traps on WebGPU, and those that only large arrays show. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { describeGpuTraps } from "../support/gpu-traps.js";
import { createWebGpu, wish } from "./webgpu.js";

describeGpuTraps(`${wish} WebGPU`, createWebGpu);

describe("arrays beyond 2^24 elements", () => {
  let device: GpuDevice;
  beforeAll(async () => {
    device = await createWebGpu();
  });
  afterAll(() => device.dispose());

  it("are indexed exactly, where float32 would miss by one", async () => {
    const rows = 50;
    const width = 400_001;
    const data = new Float32Array(rows * width);
    for (let r = 0; r < rows; r++) {
      for (let j = 0; j < width; j++) data[r * width + j] = (r * width + j) % 8191;
    }
    const x = device.upload(data);
    const last = rows * width;
    const check = async (storage: Parameters<GpuDevice["read"]>[0], from: number): Promise<void> => {
      const found = await device.read(storage);
      device.free(storage);
      expect(Array.from(found)).toEqual(Array.from(data.subarray(from, from + found.length)));
    };
    await check(device.kernels.slice(x, last - 7, last), last - 7);
    const corner = device.kernels.columns(x, rows, width, width - 3, width);
    expect(Array.from(await device.read(corner))).toEqual(
      Array.from({ length: rows }, (_, r) => Array.from(data.subarray((r + 1) * width - 3, (r + 1) * width))).flat(),
    );
    await check(device.kernels.slice(device.kernels.gather(x, [49], width), width - 9, width), last - 9);
    const sum = device.kernels.binary("sub", x, x, [last], [1], [1]);
    expect(await device.read(device.kernels.sumSquares(sum))).toEqual(Float32Array.of(0));
    const targets = Array.from({ length: rows }, (_, r) => width - 1 - r);
    // log-sum-exp and the target's logit are nearly integers
    const losses = await device.read(device.kernels.crossEntropy(x, targets, rows, width));
    losses.forEach((loss, r) =>
      expect(
        Math.abs(loss - (8190 - data[r * width + targets[r]!]! + Math.log(49) - Math.log1p(-Math.exp(-1)))),
        `row ${r}`,
      ).toBeLessThan(0.1),
    );
    const stats = await device.read(device.kernels.rowStats(x, rows, width));
    expect(Array.from({ length: rows }, (_, r) => stats[5 * r + 1])).toEqual(new Array(rows).fill(8190));
  });
});
