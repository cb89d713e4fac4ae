/**
 * The limits of one thread on this machine, measured in the same run as everything that is compared with them: bytes
 * per second read from memory beyond the caches, and 128-bit multiply-adds and products of integers, the ceilings of
 * WebAssembly.
 */
import { nodeHost } from "../../src/node/index.js";
import type { WasmBuild } from "../../src/tensor/index.js";
import { compileKernels, instantiateKernels, WasmMemory } from "../../src/tensor/wasm/index.js";
import { measure } from "./timing.js";

type NamedKernels = Awaited<ReturnType<typeof instantiateKernels>>;

/** Of a device, see threads.ts. */
const SCRATCH_BYTES = 4096;

export interface Limits {
  /** GB/s. */
  readonly read: number;
  /** GFLOP/s. */
  readonly multiplyAdd: number;
  /** Products of integers and their sums, in 1e9 per second, by the fastest way that the engine has. */
  readonly integers: number;
}

/** Measures the limits with one build of the kernels. */
export async function measureLimits(wish: "auto" | WasmBuild = "auto"): Promise<Limits> {
  const memory = new WasmMemory({ shared: false });
  const { build, module } = await compileKernels(wish, { shared: false }, nodeHost);
  const wasm = await instantiateKernels(module, memory.memory);
  wasm.setScratch(memory.allocate(SCRATCH_BYTES));
  const bytes = 2 ** 28;
  const address = memory.allocate(bytes);
  memory.f32.fill(1, address / 4, (address + bytes) / 4);
  const read = await measure("read 256 MiB", () => void wasm.probeRead(address, bytes));
  const multiplyAdd = await measure("multiply-add", () => void wasm.probeFma(1e6));
  return {
    read: bytes / read.median / 1e6,
    multiplyAdd: 80e6 / multiplyAdd.median / 1e6,
    integers: await measureIntegers(wasm, build),
  };
}

async function measureIntegers(wasm: NamedKernels, build: WasmBuild): Promise<number> {
  const bytes = [wasm.probeDotProducts, wasm.probePairProducts].map((probe) => ({ probe, products: 160 }));
  const ways = [...(build === "relaxed" ? bytes : []), { probe: wasm.probeExactProducts, products: 80 }];
  let most = 0;
  for (const { probe, products } of ways) {
    const { median } = await measure("products of integers", () => void probe(1e6));
    most = Math.max(most, products / median);
  }
  return most;
}
