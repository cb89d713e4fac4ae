/** Devices for pages and workers; see tensor/create-device.ts. */
import { createDeviceOn, type CreateDeviceOptions, type Device, type DeviceName } from "../tensor/index.js";
import { browserHost } from "./host.js";

/**
 * Creates a device by name: "gpu" (gpu.js over WebGPU or WebGL2; needs the optional package gpu.js, and hardware unless
 * a software adapter is asked for), "wasm" (WebAssembly SIMD), "reference" (plain loops, the oracle), or "auto": WebGPU
 * on hardware where both are there, else wasm. More than one thread needs a Web Worker as the caller, on a cross-origin
 * isolated page. Throws a DeviceError where an explicit wish cannot be met. Kernels run until they are done: a page
 * that wants to stay responsive calls this in a worker.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  return createDeviceOn(browserHost(), name, options);
}
