/**
 * From base64 text to running kernels: chooses the build that this engine can run, and instantiates it on a memory. The
 * relaxed build (fused multiply-add) is preferred if `WebAssembly.validate` accepts it. Builds are imported when
 * needed, so a page loads one. Node 20 hides relaxed SIMD behind a flag that the host turns on. The binaries import a
 * shared memory; without SharedArrayBuffer one byte is changed to import a private one.
 */
import { DeviceError } from "../../errors.js";
import type { WasmBuild } from "../device-options.js";
import type { Host } from "../host.js";
import {
  callByName,
  type CompiledKernels,
  type KernelExports,
  type NamedKernels,
} from "./kernels/kernels.generated.js";

export interface LoadedModule {
  readonly build: WasmBuild;
  /** `relaxed-1a2b3c4d`. */
  readonly name: string;
  readonly module: WebAssembly.Module;
}

/**
 * The best build allowed, for a shared memory or not. Throws a DeviceError if SIMD or the requested build is missing.
 */
export async function compileKernels(
  wish: "auto" | WasmBuild,
  { shared }: { readonly shared: boolean },
  host: Host,
): Promise<LoadedModule> {
  if (wish !== "portable") {
    const kernels = (await import("./kernels/relaxed.generated.js")).relaxed;
    const binary = binaryOf(kernels, shared);
    if (!runs(binary)) host.enableRelaxedSimd?.();
    if (runs(binary)) {
      return { build: "relaxed", name: nameOf("relaxed", kernels), module: await WebAssembly.compile(binary) };
    }
  }
  const kernels = (await import("./kernels/portable.generated.js")).portable;
  const binary = binaryOf(kernels, shared);
  if (!runs(binary)) {
    throw new DeviceError(
      "wasm-simd-missing",
      'wasm: this engine has no WebAssembly SIMD; use the "reference" device, or a newer engine',
    );
  }
  if (wish === "relaxed") {
    throw new DeviceError(
      "wasm-relaxed-missing",
      'wasm: this engine has no relaxed SIMD; use build "portable" or "auto"',
    );
  }
  return { build: "portable", name: nameOf("portable", kernels), module: await WebAssembly.compile(binary) };
}

export async function instantiateKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Promise<NamedKernels> {
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  return callByName(instance.exports as unknown as KernelExports);
}

function runs(binary: Uint8Array<ArrayBuffer>): boolean {
  return typeof WebAssembly !== "undefined" && WebAssembly.validate(binary);
}

/** The build and a checksum of its binary (FNV-1a). */
function nameOf(build: WasmBuild, { base64 }: CompiledKernels): string {
  let checksum = 0x811c9dc5;
  for (let i = 0; i < base64.length; i++) checksum = Math.imul(checksum ^ base64.charCodeAt(i), 0x01000193);
  return `${build}-${(checksum >>> 0).toString(16).padStart(8, "0")}`;
}

function binaryOf({ base64, memoryFlagAt }: CompiledKernels, shared: boolean): Uint8Array<ArrayBuffer> {
  const binary = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  // limits flag of the imported memory: 3 = shared with a maximum, 1 = private with a maximum
  if (!shared) binary[memoryFlagAt] = 1;
  return binary;
}
