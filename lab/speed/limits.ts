/**
 * The limits of one thread on this machine, measured in the same run as everything that is compared with them: bytes
 * per second read from memory beyond the caches, and 128-bit multiply-adds, the ceiling of WebAssembly.
 */
import { nodeHost } from "../../src/node/index.js";
import type { WasmBuild } from "../../src/tensor/index.js";
import { compileKernels, instantiateKernels, WasmMemory } from "../../src/tensor/wasm/index.js";
import { measure } from "./timing.js";

export interface Limits {
  /** GB/s. */
  readonly read: number;
  /** GFLOP/s. */
  readonly multiplyAdd: number;
}

/** Measures both limits with one build of the kernels. */
export async function measureLimits(build: "auto" | WasmBuild = "auto"): Promise<Limits> {
  const memory = new WasmMemory({ shared: false });
  const wasm = await instantiateKernels(
    (await compileKernels(build, { shared: false }, nodeHost)).module,
    memory.memory,
  );
  const bytes = 2 ** 28;
  const address = memory.allocate(bytes);
  memory.f32.fill(1, address / 4, (address + bytes) / 4);
  const read = await measure("read 256 MiB", () => void wasm.probeRead(address, bytes));
  const multiplyAdd = await measure("multiply-add", () => void wasm.probeFma(1e6));
  return { read: bytes / read.median / 1e6, multiplyAdd: 80e6 / multiplyAdd.median / 1e6 };
}
