/** The part of gpu-report.ts that runs in a page. */
import { createDevice, readModel } from "early-exits/browser";
import { browserHost } from "../../src/browser/host.js";
import { createGpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { type GpuTimings, timeGpu } from "./device-timings.js";

/** Times one mode of the GPU device beside the wasm device in the same page. Throws if there is no such adapter. */
export async function timeInPage(mode: "webgpu" | "webgl2", adapter: "hardware" | "software"): Promise<GpuTimings> {
  const gpu = await createGpuDevice({ mode, adapter, host: browserHost() });
  const cpu = await createDevice("wasm");
  const timings = await timeGpu(gpu, cpu, (device) => readModel("/models/sotu-6", { device }));
  await gpu.dispose();
  await cpu.dispose();
  return timings;
}

Object.assign(globalThis, { timeInPage });
