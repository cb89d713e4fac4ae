/**
 * Devices for Node. An explicit wish that cannot be met throws; only "auto" chooses, and `device.backend` says what it chose.
 */
import { DeviceError } from "../errors.js";
import type { Device } from "../tensor/device.js";
import { createReferenceDevice } from "../tensor/reference/reference-device.js";

export type DeviceName = "auto" | "reference";

/** Creates a device by name. */
export function createDevice(name: DeviceName = "auto"): Promise<Device> {
  switch (name) {
    case "auto":
    case "reference":
      return Promise.resolve(createReferenceDevice());
    default:
      throw new DeviceError("device-unknown", `createDevice: no device "${String(name)}"; choose auto or reference`, { name });
  }
}
