/**
 * The compiled kernels: types of their exports, and the two builds, each loaded when it is asked for so that a page
 * downloads one. Their source is the AssemblyScript beside this file, which scripts/build-wasm.mjs compiles.
 */
import type { CompiledKernels } from "./kernels.generated.js";

export type { CompiledKernels, KernelExports } from "./kernels.generated.js";

/** SIMD with separate multiplication and addition: runs in every engine since 2021. */
export async function loadPortable(): Promise<CompiledKernels> {
  return (await import("./portable.generated.js")).portable;
}

/** The same source with fused multiply-add (relaxed SIMD). */
export async function loadRelaxed(): Promise<CompiledKernels> {
  return (await import("./relaxed.generated.js")).relaxed;
}
