/** The code with which a device refuses some work. */
import { DeviceError } from "../../../src/errors.js";

export async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
  } catch (error) {
    return error instanceof DeviceError ? error.code : String(error);
  }
  return undefined;
}
