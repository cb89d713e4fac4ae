/** The ends of a WebGPU device: given back, lost, or simply left behind when a program ends. */
import { fileURLToPath } from "node:url";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { DeviceError } from "../../src/errors.js";
import { openGpuJs } from "../../src/tensor/gpu/open-gpujs.js";
import { Engine } from "../../src/tensor/gpu/engine.js";
import { scale } from "../../src/tensor/gpu/elementwise.js";
import { nodeHost } from "../../src/node/host.js";
import { expectCode } from "../support/expect-code.js";
import { createWebGpu, wish } from "./webgpu.js";

const read = async (device: Awaited<ReturnType<typeof createWebGpu>>) =>
  Array.from(await device.read(device.kernels.scale(device.upload([1, 2]), 3)));

/** An engine on gpu.js, to which errors outside any call are reported. */
async function opened() {
  let fail: (error: DeviceError) => void = () => undefined;
  const gpu = await openGpuJs({ mode: "webgpu", adapter: wish, host: nodeHost, onFailure: (error) => fail(error) });
  const engine = new Engine(gpu!);
  fail = (error) => engine.fail(error);
  return { gpu: gpu!, engine };
}

test("a device can be opened again after the last one was released, and two at once share the adapter", async () => {
  for (let i = 0; i < 2; i++) {
    const one = await createWebGpu();
    const two = await createWebGpu();
    for (const device of [one, two]) expect(await read(device)).toEqual([3, 6]);
    await one.dispose();
    expect(await read(two)).toEqual([3, 6]);
    await two.dispose();
  }
  const { navigator = {} } = globalThis as { navigator?: object };
  expect("gpu" in navigator).toBe(false); // nothing is left that programs could mistake for a browser's WebGPU
});

test("while one adapter is in use, a request for the other kind is refused", async () => {
  const device = await createWebGpu();
  const other = wish === "software" ? "hardware" : "software";
  await expectCode(
    openGpuJs({ mode: "webgpu", adapter: other, host: nodeHost, onFailure: () => undefined }),
    "gpu-adapter-busy",
  );
  await device.dispose();
});

test("an error outside any call stops every device on the adapter, and none that was disposed before", async () => {
  const one = await opened();
  const two = await opened();
  const three = await opened();
  await three.engine.dispose(); // the last opened is the first disposed
  one.gpu.shared!.context.device.createBuffer({ size: 4, usage: 0 }); // refused by the driver, after the call
  for (const { engine } of [one, two]) {
    await engine.read(engine.upload([1])).catch(() => undefined); // gives the report time to arrive
    await expectCode(engine.read(engine.upload([1])), "gpu-error");
    await engine.dispose();
  }
});

test("a lost device is a typed error at the next read", async () => {
  const { gpu, engine } = await opened();
  const x = engine.upload([1, 2]);
  expect(await engine.read(engine.vector(scale, 2, { x, factor: 2 }))).toEqual(Float32Array.of(2, 4));
  gpu.shared!.context.device.destroy(); // as a driver reset would
  await expectCode(engine.read(engine.vector(scale, 2, { x, factor: 2 })), "gpu-lost");
  await engine.dispose();
  const next = await createWebGpu();
  expect(await read(next)).toEqual([3, 6]);
  await next.dispose();
});

test.each([true, false])("a program ends on its own, disposed: %s", async (dispose) => {
  const program = `
    import { createDevice } from ${JSON.stringify(new URL("../../src/node/index.ts", import.meta.url).href)};
    const device = await createDevice("gpu", { adapter: ${JSON.stringify(wish)} });
    console.log(Array.from(await device.read(device.kernels.scale(device.upload([1, 2]), 3))).join());
    ${dispose ? "await device.dispose();" : ""}`;
  const { stdout } = await promisify(execFile)("node", ["--import", "tsx", "--input-type=module", "-e", program], {
    timeout: 60_000,
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  });
  expect(stdout).toBe("3,6\n");
});
