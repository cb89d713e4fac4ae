/** Devices of the library that every machine has. */
import { createDevice } from "early-exits/node";
import { createReferenceDevice, type Device } from "early-exits/tensor";
import { afterAll } from "vitest";

let shared: Promise<Device> | undefined;

/** The WASM device that the files of a process share: for tests of what runs on any device, in a tenth of the time. */
export function sharedWasm() {
  return (shared ??= createDevice("wasm"));
}

/** All of them, for the tests of one file. */
export async function devicesHere() {
  const wasm = await createDevice("wasm");
  afterAll(() => wasm.dispose());
  return { reference: createReferenceDevice(), wasm };
}
