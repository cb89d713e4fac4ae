/** The devices of the library that every machine has, for the tests of one file. */
import { createDevice } from "early-exits/node";
import { createReferenceDevice, type Device } from "early-exits/tensor";
import { afterAll } from "vitest";

export async function devicesHere(): Promise<Readonly<Record<"reference" | "wasm", Device>>> {
  const wasm = await createDevice("wasm");
  afterAll(() => wasm.dispose());
  return { reference: createReferenceDevice(), wasm };
}
