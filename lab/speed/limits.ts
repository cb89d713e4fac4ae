/**
 * The limits of one thread on this machine, measured in the same run as everything that is compared with them: bytes
 * per second read from memory beyond the caches, and 128-bit multiply-adds and products of integers, the ceilings of
 * WebAssembly.
 */
import { join } from "node:path";
import { nodeHost } from "../../src/node/host.js";
import type { WasmBuild } from "../../src/tensor/device-options.js";
import { measure } from "./timing.js";

const root = join(import.meta.dirname, "../..");
const READ_BYTES = 2 ** 28;
const PAGE = 65_536;

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

/** The exports of probes.as.ts. */
interface Probes {
  readonly read: (address: number, bytes: number) => number;
  readonly multiplyAdd: (scratch: number, n: number) => number;
  readonly dotProducts: (scratch: number, n: number) => number;
  readonly pairProducts: (scratch: number, n: number) => number;
  readonly exactProducts: (scratch: number, n: number) => number;
}

/** Measures the limits of one build of the kernels; of products of integers, always those of the relaxed build. */
export async function measureLimits(build: WasmBuild = "relaxed"): Promise<Limits> {
  nodeHost.enableRelaxedSimd?.();
  const memory = new WebAssembly.Memory({ initial: 1 + READ_BYTES / PAGE });
  new Float32Array(memory.buffer, PAGE).fill(1);
  const probes = await compileProbes(build, memory);
  const read = await measure("read 256 MiB", () => void probes.read(PAGE, READ_BYTES));
  const multiplyAdd = await measure("multiply-add", () => void probes.multiplyAdd(PAGE, 1e6));
  return {
    read: READ_BYTES / read.median / 1e6,
    multiplyAdd: 80e6 / multiplyAdd.median / 1e6,
    integers: await measureIntegers(await compileProbes("relaxed", memory)),
  };
}

async function measureIntegers(probes: Probes): Promise<number> {
  const ways = [
    { probe: probes.dotProducts, products: 160 },
    { probe: probes.pairProducts, products: 160 },
    { probe: probes.exactProducts, products: 80 },
  ];
  let most = 0;
  for (const { probe, products } of ways) {
    const { median } = await measure("products of integers", () => void probe(PAGE, 1e6));
    most = Math.max(most, products / median);
  }
  return most;
}

/** The part of AssemblyScript's compiler that is used. Its own declarations would change the types of arrays. */
interface Compiler {
  readonly main: (
    words: readonly string[],
    host: { readonly writeFile: (name: string, contents: Uint8Array<ArrayBuffer>) => void },
  ) => Promise<{ readonly error: Error | null }>;
}
const compilerName = "assemblyscript/asc";

/** Compiles the probes with the instructions of a build. */
async function compileProbes(build: WasmBuild, memory: WebAssembly.Memory): Promise<Probes> {
  const { main } = (await import(compilerName)) as Compiler;
  const features = build === "relaxed" ? "simd,relaxed-simd" : "simd";
  const options =
    `--baseDir ${root} --outFile probes.wasm --importMemory ` + "--runtime stub -O3 --noAssert --disableWarning 112";
  const written = new Map<string, Uint8Array<ArrayBuffer>>();
  const { error } = await main(["lab/speed/probes.as.ts", ...options.split(" "), "--enable", features], {
    writeFile: (name, contents) => void written.set(name, contents),
  });
  if (error) throw new Error("limits: probes.as.ts does not compile", { cause: error });
  const module = await WebAssembly.compile(written.get("probes.wasm")!);
  return (await WebAssembly.instantiate(module, { env: { memory } })).exports as unknown as Probes;
}
