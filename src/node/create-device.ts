/** Devices for Node; see tensor/create-device.ts. */
import type { CreateDeviceOptions, Device, DeviceName } from "../tensor/index.js";
import { createDeviceOn } from "../tensor/create-device.js";
import { nodeHost } from "./host.js";

/**
 * Creates a device by name:
 *   gpu         gpu.js over WebGPU. Needs the optional packages gpu.js and webgpu, and hardware unless a software
 *               adapter is asked for.
 *   wasm        WebAssembly SIMD
 *   reference   plain loops, the oracle
 *   auto        gpu if there is a hardware GPU and the packages are installed, otherwise wasm
 * Throws a DeviceError if an explicit wish cannot be met.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  return createDeviceOn(nodeHost, name, options);
}
