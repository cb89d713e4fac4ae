/** The model and the device that a command line names. */
import type { Device, Model, WeightDtype } from "../index.js";
import { createDevice, type DeviceName, readModel } from "../node/index.js";
import { type Io, note } from "./io.js";

export interface ModelSettings {
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export const modelDefaults = { device: "auto", dtype: "float32" } as const satisfies ModelSettings;

/** Opens a device and says on stderr which one it is. */
export async function openDevice(io: Io, name: string = modelDefaults.device): Promise<Device> {
  const device = await createDevice(name as DeviceName);
  note(io, `device: ${device.backend}${name === "auto" ? " (chosen by auto)" : ""}`);
  return device;
}

/** Reads a model folder or a GGUF file onto the device that was asked for. */
export async function openModel(
  io: Io,
  path: string,
  { device, dtype = modelDefaults.dtype }: ModelSettings,
): Promise<Model> {
  return readModel(path, { device: await openDevice(io, device), dtype });
}
