/**
 * The only file that knows gpu.js: it loads it, compiles kernels, runs them, and moves data in and out. Everything
 * above sees handles. gpu.js falls back silently in several places (no GL context: WebAssembly; an argument it
 * dislikes: the CPU) and calls the result "gpu" all the same; here the class of every compiled kernel is checked, and
 * anything but the asked-for one is an error.
 */
import { DeviceError } from "../../errors.js";
import type { AdapterWish, GpuMode } from "../device-options.js";
import type { Host, WebGpuEntry } from "../host.js";
import {
  acquireContext,
  type ContextOwner,
  namesSoftware,
  type SharedContext,
  showing,
  type WebGpuBuffer,
  type WebGpuContext,
} from "./adapter.js";
import { copy, functionText, type KernelSource } from "./kernels/index.js";

/** Numbers on the device, flat. A typed array, a texture or a buffer; never looked into outside this file. */
export interface Handle {
  readonly length?: number;
}

/** What has happened since the device was made; `handles` is what is alive now. */
export interface GpuCounts {
  kernels: number;
  dispatches: number;
  uploads: number;
  uploadedBytes: number;
  reads: number;
  readBytes: number;
  handles: number;
}

interface CompiledKernel {
  (...args: readonly unknown[]): unknown;
  readonly kernel: { readonly fallbackReason: unknown };
  setOutput(output: readonly number[]): void;
}

type Class = new (...args: never[]) => object;

/** The module, as it is (its own types lack WebGPU, and call asynchronous reads synchronous). */
interface GpuJsModule {
  readonly GPU: new (settings: { mode: GpuMode }) => {
    createKernel(source: string, settings: object): CompiledKernel;
    destroy(): Promise<void>;
    readonly context: GlContext | null;
  };
  readonly WebGPUContext: ContextOwner;
  readonly WebGPUBufferResult: new (settings: {
    buffer: WebGpuBuffer;
    output: number[];
    context: WebGpuContext;
  }) => BufferHandle;
  readonly WebGPUKernel: Class;
  readonly WebGL2Kernel: Class;
  readonly HeadlessGLKernel: Class;
  readonly WebAssemblyKernel: Class;
  readonly CPUKernel: Class;
}

interface GlContext {
  isContextLost(): boolean;
  getExtension(name: string): { readonly UNMASKED_RENDERER_WEBGL: number } | null;
  getParameter(name: number): unknown;
}

interface BufferHandle extends Handle {
  readonly buffer: WebGpuBuffer;
  delete(): void;
}

interface TextureHandle extends Handle {
  /** Four numbers per element, the first of which is its value. */
  renderRawOutput(): Float32Array;
  delete(): void;
}

const CLASSES = {
  webgpu: "WebGPUKernel",
  webgl2: "WebGL2Kernel",
  headlessgl: "HeadlessGLKernel",
  webasm: "WebAssemblyKernel",
  cpu: "CPUKernel",
} as const;
/** GPUBufferUsage and GPUMapMode, by number: they are globals only where WebGPU is. */
const USAGE = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, storage: 0x80 } as const;
const MAP_READ = 1;
/** WebGL's, by number likewise. */
const RENDERER = 0x1f01;
const MAX_TEXTURE_SIZE = 0x0d33;
/** WebGPU dispatches up to 65535 groups along an axis; gpu.js makes them 8 by 8 threads. */
const MAX_SIDE = 8 * 65_535;

export interface GpuJsOptions {
  readonly mode: GpuMode;
  readonly adapter: AdapterWish;
  readonly host: Host;
  /** Called once if the device is lost or reports an error outside any call. */
  readonly onFailure: (error: DeviceError) => void;
}

/** Loads gpu.js. Throws a DeviceError where it is not installed. */
async function loadGpuJs(): Promise<GpuJsModule> {
  try {
    const module = (await import("gpu.js")) as unknown as GpuJsModule & { readonly default?: GpuJsModule };
    return module.default ?? module;
  } catch (cause) {
    throw new DeviceError(
      "gpu-not-installed",
      "gpu: the package gpu.js is not installed; it is optional. Install it with: npm install gpu.js@2.24.1 " +
        "webgpu@0.6.2",
      {},
      { cause },
    );
  }
}

export class GpuJs {
  readonly counts: GpuCounts = {
    kernels: 0,
    dispatches: 0,
    uploads: 0,
    uploadedBytes: 0,
    reads: 0,
    readBytes: 0,
    handles: 0,
  };
  readonly #kernels = new Map<string, CompiledKernel>();
  readonly #gpu: InstanceType<GpuJsModule["GPU"]>;

  private constructor(
    readonly mode: GpuMode,
    readonly adapter: string,
    readonly hardware: boolean,
    /** Bytes that one array may have. */
    readonly maxBytes: number,
    readonly module: GpuJsModule,
    readonly shared: SharedContext | undefined,
    gpu: InstanceType<GpuJsModule["GPU"]>,
    readonly gl?: GlContext | null,
  ) {
    this.#gpu = gpu;
  }

  /** Opens a mode on an adapter of the wished kind; undefined where this machine has none. */
  static async open({ mode, adapter: wish, host, onFailure }: GpuJsOptions): Promise<GpuJs | undefined> {
    switch (mode) {
      case "cpu":
      case "webasm": {
        const module = await loadGpuJs();
        return new GpuJs(mode, `gpu.js ${mode}`, false, 2 ** 31, module, undefined, new module.GPU({ mode }));
      }
      case "webgpu": {
        const entry =
          host.webGpu === undefined
            ? (globalThis as { navigator?: { gpu?: WebGpuEntry } }).navigator?.gpu
            : await host.webGpu(wish);
        const shared = await acquireContext(
          async () => (await loadGpuJs()).WebGPUContext,
          entry,
          wish,
          (message) =>
            onFailure(
              new DeviceError(
                "gpu-error",
                `gpu: the adapter reported: ${message}; results may be missing, create a new device`,
              ),
            ),
        );
        if (shared === undefined) return undefined;
        const module = await loadGpuJs();
        const { device } = shared.context;
        const gpu = await showing(
          { requestAdapter: () => Promise.resolve(shared.adapter) },
          () => new module.GPU({ mode }),
        );
        void device.lost.then(({ reason, message }) => {
          // Also when we ended it ourselves: nobody listens then.
          onFailure(
            new DeviceError(
              "gpu-lost",
              `gpu: the device ${shared.name} was lost (${message}); what it held is gone, create a new device`,
              { adapter: shared.name, reason },
            ),
          );
        });
        return new GpuJs(
          mode,
          shared.name,
          shared.hardware,
          Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize),
          module,
          shared,
          gpu,
        );
      }
      case "webgl2":
      case "headlessgl": {
        const module = await loadGpuJs();
        const gpu = openGl(module, mode);
        if (gpu === undefined) return undefined;
        const { context } = gpu;
        const names = context?.getExtension("WEBGL_debug_renderer_info");
        const name =
          (context?.getParameter(names?.UNMASKED_RENDERER_WEBGL ?? RENDERER) as string | undefined) ?? "unknown";
        const hardware = !namesSoftware(name);
        if (hardware !== (wish === "hardware")) {
          await gpu.destroy();
          return undefined;
        }
        // Arrays become square textures, and their indices may be floats.
        const elements = Math.min(Number(context?.getParameter(MAX_TEXTURE_SIZE)) ** 2, 2 ** 24);
        return new GpuJs(mode, name, hardware, 4 * elements, module, undefined, gpu, context);
      }
      default:
        throw new DeviceError(
          "gpu-mode",
          `gpu: no mode ${JSON.stringify(mode satisfies never)}; choose webgpu, webgl2, headlessgl, webasm or cpu`,
          { mode },
        );
    }
  }

  /** The class of gpu.js that runs the kernels. */
  get kernelClass(): string {
    return CLASSES[this.mode];
  }

  upload(data: Float32Array): Handle {
    this.counts.uploads++;
    this.counts.uploadedBytes += data.byteLength;
    this.#require(data.length);
    this.counts.handles++;
    if (this.shared !== undefined) return this.#buffer(data.length, data);
    if (this.mode === "cpu" || this.mode === "webasm") return data.slice();
    const kernel = this.#compiled(copy, "upload", "Array");
    kernel.setOutput(this.#output(copy, data.length, 1));
    return this.#checked(kernel, kernel(data), copy.name) as TextureHandle;
  }

  zeros(length: number): Handle {
    if (this.shared === undefined) return this.upload(new Float32Array(length));
    this.#require(length);
    this.counts.handles++;
    return this.#buffer(length);
  }

  /** Runs a kernel over [columns] or [columns, rows]; asynchronous where the kernel may still be compiling. */
  run(
    source: KernelSource,
    columns: number,
    rows: number,
    args: readonly (Handle | number)[],
  ): Handle | Promise<Handle> {
    this.#require(columns * rows);
    if (source.shape === "matrix" && Math.max(columns, rows) > MAX_SIDE) {
      throw new DeviceError(
        "gpu-size",
        `gpu: ${source.name} over a matrix [${rows}, ${columns}]; rows and columns are limited to ${MAX_SIDE}; ` +
          "use smaller batches",
        { rows, columns, limit: MAX_SIDE },
      );
    }
    const arrays = {
      webgpu: "WebGPUBuffer",
      webgl2: "ArrayTexture(1)",
      headlessgl: "ArrayTexture(1)",
      webasm: "Array",
      cpu: "Array",
    }[this.mode];
    const kernel = this.#compiled(source, source.name, arrays);
    kernel.setOutput(this.#output(source, columns, rows));
    const result = kernel(...args);
    this.counts.dispatches++;
    this.counts.handles++;
    if (result instanceof Promise) return result.then((value) => this.#checked(kernel, value, source.name) as Handle);
    return flat(this.#checked(kernel, result, source.name), columns * rows) as Handle;
  }

  /** Writes into an uploaded array in place, where the backend can: false where it cannot. */
  overwrite(target: Handle, begin: number, source: Handle, from: number, length: number): boolean {
    if (this.shared !== undefined) {
      this.#copy((source as BufferHandle).buffer, from, (target as BufferHandle).buffer, begin, length);
      return true;
    }
    if (!(target instanceof Float32Array)) return false;
    target.set((source as Float32Array).subarray(from, from + length), begin);
    return true;
  }

  /** Copies out. What is submitted later does not change the result. */
  async read(handle: Handle, length: number): Promise<Float32Array> {
    this.counts.reads++;
    this.counts.readBytes += 4 * length;
    if (this.shared !== undefined) {
      const staging = this.shared.context.device.createBuffer({
        size: 4 * length,
        usage: USAGE.mapRead | USAGE.copyTarget,
      });
      this.#copy((handle as BufferHandle).buffer, 0, staging, 0, length);
      try {
        await staging.mapAsync(MAP_READ);
        return new Float32Array(staging.getMappedRange().slice(0));
      } finally {
        staging.destroy();
      }
    }
    if (handle instanceof Float32Array) return handle.slice();
    const texels = (handle as TextureHandle).renderRawOutput();
    // A lost context answers all the same: with zeros.
    if (this.gl?.isContextLost() === true) {
      throw new DeviceError(
        "gpu-lost",
        `gpu: the WebGL context on ${this.adapter} was lost; what it held is gone, create a new device`,
        { adapter: this.adapter },
      );
    }
    return Float32Array.from({ length }, (_, i) => texels[4 * i]!);
  }

  delete(handle: Handle): void {
    this.counts.handles--;
    if ("delete" in handle) (handle as TextureHandle).delete();
  }

  async dispose(): Promise<void> {
    await this.#gpu.destroy();
    await this.shared?.release();
  }

  get #webgl(): boolean {
    return this.mode === "webgl2" || this.mode === "headlessgl";
  }

  /**
   * The extent of a kernel's threads. On WebGL everything has three axes: handles are then of one kind, as the kernels
   * that read them demand, and with the rows along the third gpu.js lays a matrix out as a square texture, whatever its
   * width.
   */
  #output({ shape }: KernelSource, columns: number, rows: number): readonly number[] {
    if (this.#webgl) return [columns, 1, rows];
    return shape === "vector" ? [columns] : [columns, rows];
  }

  #require(length: number): void {
    if (4 * length > this.maxBytes) {
      throw new DeviceError(
        "gpu-size",
        `gpu: an array of ${length} values needs ${4 * length} bytes; ${this.adapter} allows ${this.maxBytes}; ` +
          "use smaller batches",
        { bytes: 4 * length, limit: this.maxBytes },
      );
    }
  }

  /** Compiled once per kernel: sizes are arguments, so nothing else tells two programs apart. */
  #compiled(source: KernelSource, key: string, arrays: string): CompiledKernel {
    const known = this.#kernels.get(key);
    if (known !== undefined) return known;
    this.counts.kernels++;
    const types = { array: arrays, integer: "Integer", float: "Float" };
    const kernel = this.#gpu.createKernel(functionText(source, { webgl: this.#webgl }), {
      // Without `immutable` the second call overwrites the first one's result; without a bound loops end, silently,
      // after 1000 turns.
      precision: "single",
      pipeline: true,
      immutable: true,
      dynamicArguments: true,
      dynamicOutput: true,
      loopMaxIterations: 2 ** 30,
      // By default WebGL computes small results in 16 bits, and forgets a new size where that changes.
      tactic: "precision",
      output: this.#output(source, 1, 1),
      argumentTypes: Object.fromEntries(Object.entries(source.parameters).map(([name, type]) => [name, types[type]])),
    });
    this.#kernels.set(key, kernel);
    return kernel;
  }

  /** The result, if the kernel that made it is of the asked-for class. */
  #checked(compiled: CompiledKernel, result: unknown, name: string): unknown {
    const { kernel } = compiled;
    if (kernel instanceof this.module[this.kernelClass as "CPUKernel"] && kernel.fallbackReason === null) return result;
    throw new DeviceError(
      "gpu-fallback",
      `gpu: gpu.js ran the kernel ${name} as ${kernel.constructor.name} instead of ${this.kernelClass} ` +
        `(${String(kernel.fallbackReason)})`,
      { kernel: name },
    );
  }

  #buffer(length: number, data?: Float32Array): BufferHandle {
    const { context } = this.shared!;
    const buffer = context.device.createBuffer({
      size: 4 * length,
      usage: USAGE.storage | USAGE.copySource | USAGE.copyTarget,
      mappedAtCreation: data !== undefined,
    });
    if (data !== undefined) {
      new Float32Array(buffer.getMappedRange()).set(data);
      buffer.unmap();
    }
    return new this.module.WebGPUBufferResult({ buffer, output: [length], context });
  }

  #copy(from: WebGpuBuffer, fromIndex: number, to: WebGpuBuffer, toIndex: number, length: number): void {
    const { device } = this.shared!.context;
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 4 * fromIndex, to, 4 * toIndex, 4 * length);
    device.queue.submit([encoder.finish()]);
  }
}

function openGl(module: GpuJsModule, mode: "webgl2" | "headlessgl"): InstanceType<GpuJsModule["GPU"]> | undefined {
  try {
    const gpu = new module.GPU({ mode });
    // The context exists once a kernel does.
    gpu.createKernel("function probe() { return 1; }", { output: [1], precision: "single", pipeline: true })();
    return gpu;
  } catch {
    return undefined;
  }
}

/** gpu.js answers matrices as rows, and stacks of them as nested rows; arrays here are flat. Handles pass. */
function flat(value: unknown, length: number): unknown {
  if (!Array.isArray(value)) return value;
  const out = new Float32Array(length);
  let at = 0;
  const visit = (part: unknown): void => {
    if (Array.isArray(part)) part.forEach(visit);
    else {
      out.set(part as Float32Array, at);
      at += (part as Float32Array).length;
    }
  };
  visit(value);
  return out;
}
