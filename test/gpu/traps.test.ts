/** The traps on WebGPU, and those that only large arrays show. */
import { describe, expect, it } from "vitest";
import type { Storage } from "../../src/tensor/device.js";
import { describeGpuTraps } from "../support/gpu-traps.js";
import { createWebGpu, webGpuHere, wish } from "./webgpu.js";
import { times } from "../support/lists.js";

describeGpuTraps(`${wish} WebGPU`, createWebGpu);

describe("arrays beyond 2^24 elements", async () => {
  const device = await webGpuHere();

  it("are indexed exactly, where float32 would miss by one", async () => {
    const rows = 50;
    const width = 400_001;
    const data = Float32Array.from({ length: rows * width }, (_, i) => i % 8191);
    const x = device.upload(data);
    const last = rows * width;
    const check = async (storage: Storage, from: number) => {
      const found = await device.read(storage);
      device.free(storage);
      expect(Array.from(found)).toEqual(Array.from(data.subarray(from, from + found.length)));
    };
    await check(device.kernels.slice(x, last - 7, last), last - 7);
    const corner = device.kernels.columns(x, rows, width, width - 3, width);
    expect(Array.from(await device.read(corner))).toEqual(
      times(rows, (r) => Array.from(data.subarray((r + 1) * width - 3, (r + 1) * width))).flat(),
    );
    await check(device.kernels.slice(device.kernels.gather(x, [49], width), width - 9, width), last - 9);
    const sum = device.kernels.binary("sub", x, x, [last], [1], [1]);
    expect(await device.read(device.kernels.sumSquares(sum))).toEqual(Float32Array.of(0));
    const targets = times(rows, (r) => width - 1 - r);
    // log-sum-exp and the target's logit are nearly integers
    const losses = await device.read(device.kernels.crossEntropy(x, targets, rows, width));
    losses.forEach((loss, r) =>
      expect(
        Math.abs(loss - (8190 - data[r * width + targets[r]!]! + Math.log(49) - Math.log1p(-Math.exp(-1)))),
        `row ${r}`,
      ).toBeLessThan(0.1),
    );
    const stats = await device.read(device.kernels.rowStats(x, rows, width));
    expect(times(rows, (r) => stats[5 * r + 1])).toEqual(new Array(rows).fill(8190));
  });
});
