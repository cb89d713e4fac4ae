/** The GPU device: gpu.js over WebGPU or WebGL2. Loaded when a GPU is requested. */
export { createGpuDevice, type GpuDevice, type GpuDeviceInfo } from "./gpu-device.js";
