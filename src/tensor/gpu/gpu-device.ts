/**
 * The GPU device: gpu.js kernels over WebGPU, or WebGL without it. It reports what really runs (the kernels' gpu.js
 * class, the adapter by its driver's name, hardware or software), and throws rather than fall back.
 */
import { DeviceError, OptionError } from "../../errors.js";
import type { Device, DeviceInfo, Kernels, Storage } from "../device.js";
import type { GpuMode, GpuOptions } from "../device-options.js";
import type { Host } from "../host.js";
import { attentionKernels, cacheOf, GpuCache } from "./attention.js";
import { elementwiseKernels } from "./elementwise.js";
import { integerValues } from "../integer-rows.js";
import { Engine, type GpuStorage } from "./engine.js";
import type { GpuCounts, GpuJs } from "./gpujs.js";
import { lossKernels } from "./losses.js";
import { movementKernels, slice } from "./movement.js";
import { openGpuJs } from "./open-gpujs.js";
import { productKernels } from "./products.js";
import { rowKernels } from "./rows.js";
import { GpuPacked, packedOf } from "./weights.js";

interface GpuDeviceOptions extends GpuOptions {
  readonly host: Host;
}

export interface GpuDeviceInfo extends DeviceInfo {
  readonly mode: GpuMode;
  readonly kernelClass: string;
  readonly adapter: string;
  readonly hardware: boolean;
  /** Of one array: larger weights are split, larger results refused. */
  readonly maxBytes: number;
}

export interface GpuDevice extends Device {
  readonly info: GpuDeviceInfo;
  /** Pending work is included once awaited. */
  counts(): Readonly<GpuCounts>;
}

/**
 * Throws a DeviceError: "gpu-not-installed", "gpu-missing" if there is no adapter of the requested kind,
 * "gpu-adapter-busy" if another one is in use.
 */
export async function createGpuDevice({
  adapter = "hardware",
  mode: wish,
  host,
}: GpuDeviceOptions): Promise<GpuDevice> {
  let fail: (error: DeviceError) => void = () => undefined;
  const onFailure = (error: DeviceError): void => fail(error);
  const adapters: readonly string[] = ["hardware", "software"];
  if (!adapters.includes(adapter)) {
    throw new OptionError(
      "option-unknown",
      `createDevice: no adapter ${adapter}; choose one of ${adapters.join(", ")}`,
    );
  }
  const modes: readonly GpuMode[] = wish === undefined ? ["webgpu", "webgl2", "headlessgl"] : [wish];
  let gpu: GpuJs | undefined;
  for (const mode of modes) gpu ??= await openGpuJs({ mode, adapter, host, onFailure });
  if (gpu === undefined) {
    const hint =
      adapter === "hardware"
        ? 'use "auto" to fall back to the CPU, or { adapter: "software" } for tests'
        : "install a software driver (Debian: mesa-vulkan-drivers libvulkan1)";
    throw new DeviceError("gpu-missing", `gpu: no ${adapter} adapter for ${modes.join(", ")}; ${hint}`, {
      adapter,
      modes,
    });
  }
  const engine = new Engine(gpu);
  fail = (error) => engine.fail(error);
  return assemble(gpu, engine);
}

function assemble(gpu: GpuJs, engine: Engine): GpuDevice {
  const { mode, adapter, hardware, maxBytes } = gpu.parts;
  const { kernelClass } = gpu;
  const kind =
    mode === "webasm" || mode === "cpu"
      ? "no GPU, for tests"
      : hardware
        ? adapter
        : `${adapter} (software: correctness only)`;
  return {
    backend: "gpu",
    info: {
      description: `gpu: gpu.js ${kernelClass} on ${kind}; bfloat16 and int8 weights are held as float32`,
      threads: 1,
      // One compiled program per kernel, one thread per element, loops in one order: other rows cannot matter.
      batchIndependent: true,
      mode,
      kernelClass,
      adapter,
      hardware,
      maxBytes,
    },
    kernels: scoped(engine, {
      ...productKernels(engine),
      ...elementwiseKernels(engine),
      ...movementKernels(engine),
      ...rowKernels(engine),
      ...lossKernels(engine),
      ...attentionKernels(engine),
    }),

    upload: (data) => engine.upload(data),
    read: async (storage) => engine.read(engine.at(storage)),
    write: (storage, data) => engine.replace(engine.at(storage), engine.upload(data)),
    free: (storage) => engine.free(engine.at(storage)),

    createPacked: (rows, columns, dtype) => new GpuPacked(engine, rows, columns, dtype),
    packRows: (packed, firstRow, data) => packedOf(engine, packed).fill(firstRow, data),
    packIntegers: (packed, firstRow, rows) => packedOf(engine, packed).fill(firstRow, integerValues(rows), "float32"),
    readPacked: async (packed) => packedOf(engine, packed).read(),
    freePacked: (packed) => packedOf(engine, packed).free(),

    createCache(kvHeads, headDim, capacity, dtype = "float32") {
      if (dtype !== "float32") {
        throw new DeviceError(
          "gpu-cache-dtype",
          `gpu: a cache of keys and values as ${dtype} was asked for; this device has float32 only: leave kvCache ` +
            'out, or use device "wasm"',
          { dtype },
        );
      }
      return new GpuCache(engine, kvHeads, headDim, capacity);
    },
    copyCache(from, to, positions) {
      const source = cacheOf(engine, from);
      const target = cacheOf(engine, to);
      const length = positions * from.kvHeads * from.headDim;
      engine.overwrite({ target: target.keys, begin: 0, source: source.keys, from: 0, length });
      engine.overwrite({ target: target.values, begin: 0, source: source.values, from: 0, length });
    },
    async readCache(cache, begin, end) {
      const { keys, values, kvHeads, headDim } = cacheOf(engine, cache);
      const width = kvHeads * headDim;
      const part = (x: Storage): GpuStorage => engine.vector(slice, (end - begin) * width, { x, begin: begin * width });
      const k = part(keys);
      const v = part(values);
      const result = { keys: await engine.read(k), values: await engine.read(v) };
      engine.free(k);
      engine.free(v);
      return result;
    },
    freeCache: (cache) => cacheOf(engine, cache).free(),

    counts: () => ({ ...gpu.counts }),
    dispose: () => engine.dispose(),
  };
}

/** Frees all storage that a kernel makes and does not return. */
function scoped(engine: Engine, kernels: Kernels): Kernels {
  const all = Object.entries(kernels) as [string, (...given: unknown[]) => GpuStorage][];
  return Object.fromEntries(
    all.map(([name, kernel]) => [name, (...given: unknown[]) => engine.scope(() => kernel(...given))]),
  ) as unknown as Kernels;
}
