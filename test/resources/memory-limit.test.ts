/** A device of fixed memory: kernels, caches and limits that do not fit (requests: lab/torture/memory-pressure.ts). */
import { matmul, scope, Tensor } from "early-exits/tensor";
import { expect, it } from "vitest";
import { createWasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { nodeHost } from "../../src/node/host.js";

const LIMIT = 2 ** 25; // 32 MiB
const limited = async () => createWasmDevice({ host: nodeHost, memoryLimit: LIMIT });

it("frees what a kernel was given before it failed", async () => {
  const device = await limited();
  const x = new Tensor(device, device.upload(new Float32Array(2 ** 13)), [2048, 4]);
  const y = new Tensor(device, device.upload(new Float32Array(2 ** 13)), [4, 2048]);
  const used = device.memory().used;
  for (let i = 0; i < 10; i++) {
    expect(() => scope(() => [1, 2, 3, 4].map(() => matmul(x, y)) /* 16 MiB each */)).toThrow(/memoryLimit/);
  }
  // The kernel's working memory may stay.
  expect(device.memory().used - used).toBeLessThan(2 ** 23);
  x.dispose();
  y.dispose();
  await device.dispose();
});

it("refuses a cache whose size 32 bits cannot hold, and says what fits", async () => {
  const device = await createWasmDevice({ host: nodeHost });
  const before = device.memory().used;
  expect(() => device.createCache(8, 128, 2 ** 21)).toThrow(/at most 524288 positions/);
  expect(() => device.createCache(8, 128, 2 ** 22)).toThrow(/at most 524288 positions/);
  expect(device.memory().used).toBe(before);
  await device.dispose();
});

it("refuses limits that hold nothing", () =>
  expect(createWasmDevice({ host: nodeHost, memoryLimit: 1000 })).rejects.toThrow(/memoryLimit/));
