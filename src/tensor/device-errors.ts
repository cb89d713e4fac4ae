/**
 * Errors that all devices word alike: memory of another device, freed memory, a disposed device. `where` is the
 * backend, `what` the thing with its article ("a tensor").
 */
import { DeviceError } from "../errors.js";

export function deviceMixed(
  where: string,
  what: string,
  remedy = "read it there and upload it to this one",
): DeviceError {
  return new DeviceError("device-mixed", `${where}: ${what} of another device was used on this one; ${remedy}`);
}

export function storageFreed(where: string, what: string): DeviceError {
  return new DeviceError("storage-freed", `${where}: ${what} was used after it was freed`);
}

export function deviceDisposed(where: string): DeviceError {
  return new DeviceError("device-disposed", `${where}: the device was used after dispose(); create a new one`);
}
