/**
 * Compiles kernels with gpu.js, runs them, and moves data. Everything above sees handles. gpu.js falls back silently
 * (to WebAssembly without a GL context, to the CPU for an argument it dislikes) and still calls the result "gpu"; so
 * the class of every compiled kernel is checked, and only the requested one is accepted.
 */
import type { GpuMode } from "../device-options.js";
import { DeviceError } from "../../errors.js";
import type { WebGpuAdapter } from "../host.js";
import {
  type BufferHandle,
  type CompiledKernel,
  type GlContext,
  type GpuJsModule,
  type GpuJsProgram,
  type Handle,
  type TextureHandle,
  type WebGpuBuffer,
  type WebGpuContext,
} from "./gpujs-module.js";
import { functionText, type KernelSource, vectorKernel } from "./kernel-source.js";

/** A copy of x on the device: WebGL gets data this way. */
const copy = vectorKernel(
  "copy",
  "array x",
  `
  return x[COLUMN];
`,
);

export interface FoundAdapter {
  readonly adapter: WebGpuAdapter;
  readonly hardware: boolean;
  /** As the driver names it. */
  readonly name: string;
}

export interface SharedContext extends FoundAdapter {
  readonly context: WebGpuContext;
  /** The last user ends the device. */
  release(): Promise<void>;
}

/** `handles` are those alive now. */
export interface GpuCounts {
  kernels: number;
  dispatches: number;
  uploads: number;
  uploadedBytes: number;
  reads: number;
  readBytes: number;
  handles: number;
}

/** target[begin .. begin + length) = source[from .. from + length) */
export interface Overwrite<T> {
  readonly target: T;
  readonly begin: number;
  readonly source: T;
  readonly from: number;
  readonly length: number;
}

interface GpuJsParts {
  readonly mode: GpuMode;
  /** As the driver names it. */
  readonly adapter: string;
  readonly hardware: boolean;
  readonly maxBytes: number;
  readonly module: GpuJsModule;
  readonly program: GpuJsProgram;
  readonly shared?: SharedContext;
  readonly gl?: GlContext | null;
}

const CLASSES = {
  webgpu: "WebGPUKernel",
  webgl2: "WebGL2Kernel",
  headlessgl: "HeadlessGLKernel",
  webasm: "WebAssemblyKernel",
  cpu: "CPUKernel",
} as const;
/** GPUBufferUsage and GPUMapMode by number: globals only where WebGPU is. */
const USAGE = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, storage: 0x80 } as const;
const MAP_READ = 1;
/** WebGPU dispatches up to 65535 groups along an axis; gpu.js makes them 8 by 8 threads. */
const MAX_SIDE = 8 * 65_535;

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

  constructor(readonly parts: GpuJsParts) {}

  get shared(): SharedContext | undefined {
    return this.parts.shared;
  }

  get gl(): GlContext | null | undefined {
    return this.parts.gl;
  }

  get kernelClass(): string {
    return CLASSES[this.parts.mode];
  }

  upload(data: Float32Array): Handle {
    this.counts.uploads++;
    this.counts.uploadedBytes += data.byteLength;
    this.#require(data.length);
    this.counts.handles++;
    if (this.shared !== undefined) return this.#buffer(data.length, data);
    if (this.parts.mode === "cpu" || this.parts.mode === "webasm") return data.slice();
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

  /** Over [columns] or [columns, rows]; asynchronous while the kernel may be compiling. */
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
    }[this.parts.mode];
    const kernel = this.#compiled(source, source.name, arrays);
    kernel.setOutput(this.#output(source, columns, rows));
    const result = kernel(...args);
    this.counts.dispatches++;
    this.counts.handles++;
    if (result instanceof Promise) return result.then((value) => this.#checked(kernel, value, source.name) as Handle);
    return flatResult(this.#checked(kernel, result, source.name), columns * rows) as Handle;
  }

  /** False if the backend cannot write in place. */
  overwrite({ target, begin, source, from, length }: Overwrite<Handle>): boolean {
    if (this.shared !== undefined) {
      this.#copy({
        target: (target as BufferHandle).buffer,
        begin,
        source: (source as BufferHandle).buffer,
        from,
        length,
      });
      return true;
    }
    if (!(target instanceof Float32Array)) return false;
    target.set((source as Float32Array).subarray(from, from + length), begin);
    return true;
  }

  /** Work submitted later does not change the result. */
  async read(handle: Handle, length: number): Promise<Float32Array> {
    this.counts.reads++;
    this.counts.readBytes += 4 * length;
    if (this.shared !== undefined) {
      const staging = this.shared.context.device.createBuffer({
        size: 4 * length,
        usage: USAGE.mapRead | USAGE.copyTarget,
      });
      this.#copy({ target: staging, begin: 0, source: (handle as BufferHandle).buffer, from: 0, length });
      try {
        await staging.mapAsync(MAP_READ);
        return new Float32Array(staging.getMappedRange().slice(0));
      } finally {
        staging.destroy();
      }
    }
    if (handle instanceof Float32Array) return handle.slice();
    const texels = (handle as TextureHandle).renderRawOutput();
    // A lost context still answers, with zeros.
    if (this.gl?.isContextLost() === true) {
      throw new DeviceError(
        "gpu-lost",
        `gpu: the WebGL context on ${this.parts.adapter} was lost; its data is gone, create a new device`,
        { adapter: this.parts.adapter },
      );
    }
    return Float32Array.from({ length }, (_, i) => texels[4 * i]!);
  }

  delete(handle: Handle): void {
    this.counts.handles--;
    if ("delete" in handle) (handle as TextureHandle).delete();
  }

  async dispose(): Promise<void> {
    await this.parts.program.destroy();
    await this.shared?.release();
  }

  get #webgl(): boolean {
    return this.parts.mode === "webgl2" || this.parts.mode === "headlessgl";
  }

  /**
   * The extent of a kernel's threads. On WebGL always three axes: handles are then of one kind, as kernels that read
   * them require, and gpu.js lays rows along the third axis out as a square texture.
   */
  #output({ shape }: KernelSource, columns: number, rows: number): readonly number[] {
    if (this.#webgl) return [columns, 1, rows];
    return shape === "vector" ? [columns] : [columns, rows];
  }

  #require(length: number): void {
    const { adapter, maxBytes } = this.parts;
    if (4 * length > maxBytes) {
      throw new DeviceError(
        "gpu-size",
        `gpu: an array of ${length} values needs ${4 * length} bytes; ${adapter} allows ${maxBytes}; ` +
          "use smaller batches",
        { bytes: 4 * length, limit: maxBytes },
      );
    }
  }

  /** Compiles a kernel once: sizes are arguments, so nothing else distinguishes programs. */
  #compiled(source: KernelSource, key: string, arrays: string): CompiledKernel {
    const known = this.#kernels.get(key);
    if (known !== undefined) return known;
    this.counts.kernels++;
    const types = { array: arrays, integer: "Integer", float: "Float" };
    const kernel = this.parts.program.createKernel(functionText(source, { webgl: this.#webgl }), {
      // Without `immutable` a second call overwrites the first's result; without a bound, loops end silently after 1000
      // turns.
      precision: "single",
      pipeline: true,
      immutable: true,
      dynamicArguments: true,
      dynamicOutput: true,
      loopMaxIterations: 2 ** 30,
      // By default WebGL computes small results in 16 bits, and ignores a new size if that changes.
      tactic: "precision",
      output: this.#output(source, 1, 1),
      argumentTypes: Object.fromEntries(Object.entries(source.parameters).map(([name, type]) => [name, types[type]])),
    });
    this.#kernels.set(key, kernel);
    return kernel;
  }

  /** Throws unless the kernel is of the requested class. */
  #checked(compiled: CompiledKernel, result: unknown, name: string): unknown {
    const { kernel } = compiled;
    if (kernel instanceof this.parts.module[this.kernelClass as "CPUKernel"] && kernel.fallbackReason === null) {
      return result;
    }
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
    return new this.parts.module.WebGPUBufferResult({ buffer, output: [length], context });
  }

  #copy({ target, begin, source, from, length }: Overwrite<WebGpuBuffer>): void {
    const { device } = this.shared!.context;
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 4 * from, target, 4 * begin, 4 * length);
    device.queue.submit([encoder.finish()]);
  }
}

/** Flattens the rows, or nested rows, that gpu.js returns. Handles pass unchanged. */
function flatResult(value: unknown, length: number): unknown {
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
