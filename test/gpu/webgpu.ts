/** The WebGPU device under test. An adapter that is missing fails the suite. */
import { nodeHost } from "../../src/node/host.js";
import { afterAll } from "vitest";
import { createGpuDevice } from "../../src/tensor/gpu/gpu-device.js";

export const wish = process.env["GPU_ADAPTER"] === "hardware" ? "hardware" : "software";

export const createWebGpu = () => createGpuDevice({ mode: "webgpu", adapter: wish, host: nodeHost });

/** The device, for the tests of one file. */
export async function webGpuHere() {
  const device = await createWebGpu();
  afterAll(() => device.dispose());
  return device;
}
