/** The GPU device: gpu.js over WebGPU or WebGL2. Loaded when a GPU is requested. */
export type { AdapterWish } from "./adapter.js";
export { createGpuDevice, type GpuDevice, type GpuDeviceInfo, type GpuOptions } from "./gpu-device.js";
export type { GpuMode } from "./gpujs-module.js";
