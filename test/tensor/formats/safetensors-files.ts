/** Safetensors files for tests, malformed ones included, and the error that reading one throws. */
import { SafetensorsError } from "../../../src/errors.js";

/** A file with this text as its header, legal or not. */
export function fileOf(header: string | Uint8Array, dataBytes = 0) {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setUint32(0, json.length, true);
  file.set(json, 8);
  return file;
}

/** The SafetensorsError that `run` throws. */
export function fault(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (error instanceof SafetensorsError) return error;
    throw error;
  }
  throw new Error("expected a SafetensorsError, nothing was thrown");
}

/** The header entry of a tensor, legal or not. */
export const entry = (dtype: string, shape: string, offsets: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
