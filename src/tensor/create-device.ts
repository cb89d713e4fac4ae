/**
 * Devices by name, for any host. An explicit wish that cannot be met throws; only "auto" chooses, and `device.backend` says what it
 * chose. The kernels are imported when a device needs them, so that who imports the library does not load them.
 */
import { DeviceError } from "../errors.js";
import type { Device } from "./device.js";
import type { Host } from "./host.js";
import type { WasmDeviceOptions } from "./wasm/wasm-device.js";

export type DeviceName = "auto" | "wasm" | "reference";
export type CreateDeviceOptions = Omit<WasmDeviceOptions, "host">;

/** See `createDevice` of the entry points, which provide the host. */
export async function createDeviceOn(host: Host, name: DeviceName, options: CreateDeviceOptions): Promise<Device> {
  switch (name) {
    case "auto":
      return wasm(host, options).catch((error: unknown) => {
        if (error instanceof DeviceError && error.code === "wasm-simd-missing") return reference();
        throw error;
      });
    case "wasm":
      return wasm(host, options);
    case "reference":
      return reference();
    default:
      throw new DeviceError("device-unknown", `createDevice: no device ${JSON.stringify(name)}; choose auto, wasm or reference`, { name });
  }
}

async function wasm(host: Host, options: CreateDeviceOptions): Promise<Device> {
  const { createWasmDevice } = await import("./wasm/wasm-device.js");
  return createWasmDevice({ ...options, host });
}

async function reference(): Promise<Device> {
  const { createReferenceDevice } = await import("./reference/reference-device.js");
  return createReferenceDevice();
}
