/** The WebGPU device under test. An adapter that is missing fails the suite. */
import { nodeHost } from "../../src/node/host.js";
import { createGpuDevice, type GpuDevice } from "../../src/tensor/gpu/gpu-device.js";

export const wish = process.env["GPU_ADAPTER"] === "hardware" ? "hardware" : "software";

export function createWebGpu(): Promise<GpuDevice> {
  return createGpuDevice({ mode: "webgpu", adapter: wish, host: nodeHost });
}
