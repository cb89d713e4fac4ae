/** Devices for Node; see tensor/create-device.ts. */
import { type CreateDeviceOptions, createDeviceOn, type DeviceName } from "../tensor/create-device.js";
import type { Device } from "../tensor/device.js";
import { nodeHost } from "./host.js";

/**
 * Creates a device by name: "wasm" (WebAssembly SIMD), "reference" (plain loops, the oracle), or "auto": the fastest that runs here.
 * `threads` and `build` concern wasm. Throws a DeviceError where an explicit wish cannot be met.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  return createDeviceOn(nodeHost, name, options);
}
