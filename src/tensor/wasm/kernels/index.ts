/**
 * The compiled kernels: two builds, each loaded on demand so that a page downloads only one, and `callByName`, with
 * which the host code passes arguments by name. The source is the AssemblyScript beside this file;
 * scripts/build-wasm.mjs compiles it and writes the generated files.
 */
import type { CompiledKernels } from "./kernels.generated.js";

export { chooseWay } from "./choose-way.js";
export {
  callByName,
  type CompiledKernels,
  type KernelArguments,
  type KernelExports,
  type NamedKernels,
  PARAMETERS,
} from "./kernels.generated.js";

/** SIMD with separate multiplication and addition: runs in every engine since 2021. */
export async function loadPortable(): Promise<CompiledKernels> {
  return (await import("./portable.generated.js")).portable;
}

/** The same source with fused multiply-add (relaxed SIMD). */
export async function loadRelaxed(): Promise<CompiledKernels> {
  return (await import("./relaxed.generated.js")).relaxed;
}
