/**
 * The limits of one thread on this machine, measured in the same run as everything that is compared with them: bytes
 * per second read from memory beyond the caches, and 128-bit multiply-adds and products of integers, the ceilings of
 * WebAssembly.
 */
import { nodeHost } from "../../src/node/index.js";
import type { WasmBuild } from "../../src/tensor/index.js";
import { compileKernels, instantiateKernels, WasmMemory } from "../../src/tensor/wasm/index.js";
import { measure } from "./timing.js";

/** Of a device, see threads.ts. */
const SCRATCH_BYTES = 4096;

export interface Limits {
  /** GB/s. */
  readonly read: number;
  /** GFLOP/s. */
  readonly multiplyAdd: number;
  /**
   * Products of integers and their sums, in 1e9 per second, by the fastest way that the engine has; 0 without relaxed
   * SIMD.
   */
  readonly integers: number;
}

/** Measures the limits with one build of the kernels. */
export async function measureLimits(wish: "auto" | WasmBuild = "auto"): Promise<Limits> {
  const memory = new WasmMemory({ shared: false });
  const { wasm } = await kernelsIn(memory, wish, { wide: false });
  const bytes = 2 ** 28;
  const address = memory.allocate(bytes);
  memory.f32.fill(1, address / 4, (address + bytes) / 4);
  const read = await measure("read 256 MiB", () => void wasm.probeRead(address, bytes));
  const multiplyAdd = await measure("multiply-add", () => void wasm.probeFma(1e6));
  return {
    read: bytes / read.median / 1e6,
    multiplyAdd: 80e6 / multiplyAdd.median / 1e6,
    integers: await measureIntegers(),
  };
}

async function measureIntegers(): Promise<number> {
  const { wasm, build } = await kernelsIn(new WasmMemory({ shared: false }), "auto", { wide: true });
  if (build === "portable") return 0;
  const ways = [
    { probe: wasm.probeDotProducts, products: 160 },
    { probe: wasm.probePairProducts, products: 160 },
    { probe: wasm.probeExactProducts, products: 80 },
  ];
  let most = 0;
  for (const { probe, products } of ways) {
    const { median } = await measure("products of integers", () => void probe(1e6));
    most = Math.max(most, products / median);
  }
  return most;
}

/** One build of the kernels, on a memory with the scratch that they need. */
async function kernelsIn(memory: WasmMemory, wish: "auto" | WasmBuild, { wide }: { readonly wide: boolean }) {
  const { build, module } = await compileKernels(wish, { shared: false, wide }, nodeHost);
  const wasm = await instantiateKernels(module, memory.memory);
  wasm.setScratch(memory.allocate(SCRATCH_BYTES));
  return { wasm, build };
}
