/** A device of fixed memory: kernels, caches and limits that do not fit (requests: lab/torture/memory-pressure.ts). */
import { createPolicy } from "early-exits";
import { matmul, scope, Tensor } from "early-exits/tensor";
import { expect, it } from "vitest";
import { DeviceError } from "../../src/errors.js";
import { Sequence } from "../../src/model/sequence.js";
import { createWasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { nodeHost } from "../../src/node/host.js";
import { generated } from "../support/generated.js";
import { smallHeads, smallModel } from "../support/models.js";

const limited = async () => createWasmDevice({ host: nodeHost, memoryLimit: 2 ** 25 }); // 32 MiB

it("frees what a kernel was given before it failed", async () => {
  const device = await limited();
  const x = Tensor.from(device, new Float32Array(2 ** 13), [2048, 4]);
  const y = Tensor.from(device, new Float32Array(2 ** 13), [4, 2048]);
  const used = device.memory().used;
  for (let i = 0; i < 10; i++) {
    expect(() => scope(() => [1, 2, 3, 4].map(() => matmul(x, y)) /* 16 MiB each */)).toThrow(/memoryLimit/);
  }
  // The kernel's working memory may stay.
  expect(device.memory().used - used).toBeLessThan(2 ** 23);
  await device.dispose();
});

it("a kernel that fails while text is written leaves no tensor", async () => {
  const device = await limited();
  let left = Infinity;
  const kernels = new Proxy(device.kernels, {
    get(own, name) {
      if (left-- === 0) throw new DeviceError("wasm-memory-full", "");
      return Reflect.get(own, name) as unknown;
    },
  });
  const heads = await smallHeads({}, { device: { ...device, kernels } });
  const policy = createPolicy(heads, 1.5);
  const write = () => generated(heads, [1, 2], { policy, temperature: 1, seed: 1 });
  await write();
  const { used } = device.memory();
  for (let failing = 0; failing < 90; failing++) {
    left = failing;
    await write().catch(() => undefined);
    left = Infinity;
    expect(device.memory().used).toBe(used);
  }
});

it("a text whose cache does not fit stays as it was", async () => {
  const device = await limited();
  const own = { ...device };
  const sequence = new Sequence(await smallModel({ device: own }), 4);
  own.createCache = () => expect.fail("full");
  expect(() => {
    sequence.append(1, 2, 3, 4, 5);
  }).toThrow("full");
  expect(sequence.length).toBe(0);
  await device.dispose();
});

it("refuses a cache whose size 32 bits cannot hold, and says what fits", async () => {
  const device = await createWasmDevice({ host: nodeHost });
  const before = device.memory().used;
  expect(() => device.createCache(8, 128, 2 ** 22)).toThrow(/at most 524288 positions/);
  expect(device.memory().used).toBe(before);
  await device.dispose();
});

it("refuses limits that hold nothing", () =>
  expect(createWasmDevice({ host: nodeHost, memoryLimit: 1000 })).rejects.toThrow(/memoryLimit/));
