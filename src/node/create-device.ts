/**
 * Devices for Node. An explicit wish that cannot be met throws; only "auto" chooses, and `device.backend` says what it chose.
 */
import { DeviceError } from "../errors.js";
import type { Device } from "../tensor/device.js";
import { createReferenceDevice } from "../tensor/reference/reference-device.js";
import { createWasmDevice, type WasmDeviceOptions } from "../tensor/wasm/wasm-device.js";
import { nodeHost } from "./host.js";

export type DeviceName = "auto" | "wasm" | "reference";
export type CreateDeviceOptions = Omit<WasmDeviceOptions, "host">;

/**
 * Creates a device by name: "wasm" (WebAssembly SIMD), "reference" (plain loops, the oracle), or "auto": the fastest that runs here.
 * `threads` and `build` concern wasm. Throws a DeviceError where an explicit wish cannot be met.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  switch (name) {
    case "auto":
      return createWasmDevice({ ...options, host: nodeHost }).catch((error: unknown) => {
        if (error instanceof DeviceError && error.code === "wasm-simd-missing") return createReferenceDevice();
        throw error;
      });
    case "wasm":
      return createWasmDevice({ ...options, host: nodeHost });
    case "reference":
      return createReferenceDevice();
    default:
      throw new DeviceError("device-unknown", `createDevice: no device ${JSON.stringify(name)}; choose auto, wasm or reference`, { name });
  }
}
