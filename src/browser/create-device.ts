/** Devices for pages and workers; see tensor/create-device.ts. */
import type { CreateDeviceOptions, Device, DeviceName } from "../tensor/index.js";
import { createDeviceOn } from "../tensor/create-device.js";
import { browserHost } from "./host.js";

/**
 * Creates a device by name:
 *   gpu         gpu.js over WebGPU or WebGL2. Needs the optional package gpu.js, and hardware unless a software adapter
 *               is asked for.
 *   wasm        WebAssembly SIMD. More than one thread needs a Web Worker as the caller, and a cross-origin isolated
 *               page.
 *   reference   plain loops, the oracle
 *   auto        gpu if there is WebGPU on hardware and the package is installed, otherwise wasm
 * Throws a DeviceError if an explicit wish cannot be met. Kernels block the thread that calls them, so a page that
 * should stay responsive calls this in a worker.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  return createDeviceOn(browserHost(), name, options);
}
