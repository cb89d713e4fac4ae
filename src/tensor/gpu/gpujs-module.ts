/**
 * The parts of gpu.js used here, with types: its own lack WebGPU, and call asynchronous reads synchronous. gpu.js is
 * optional, and loaded on request.
 */
import type { GpuMode } from "../device-options.js";
import { DeviceError } from "../../errors.js";
import type { WebGpuAdapter } from "../host.js";

export interface WebGpuBuffer {
  readonly size: number;
  getMappedRange(): ArrayBuffer;
  mapAsync(mode: number): Promise<void>;
  unmap(): void;
  destroy(): void;
}

interface WebGpuDevice {
  readonly limits: { readonly maxStorageBufferBindingSize: number; readonly maxBufferSize: number };
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  onuncapturederror: ((event: { readonly error: { readonly message: string } }) => void) | null;
  readonly queue: { submit(commands: readonly unknown[]): void };
  createBuffer(description: {
    readonly size: number;
    readonly usage: number;
    readonly mappedAtCreation?: boolean;
  }): WebGpuBuffer;
  createCommandEncoder(): {
    copyBufferToBuffer(from: WebGpuBuffer, fromByte: number, to: WebGpuBuffer, toByte: number, bytes: number): void;
    finish(): unknown;
  };
  destroy(): void;
}

export interface WebGpuContext {
  readonly adapter: WebGpuAdapter;
  readonly device: WebGpuDevice;
}

/** Hands out gpu.js's device. */
export interface ContextOwner {
  acquire(): Promise<WebGpuContext>;
  destroy(): Promise<void>;
}

/** A flat typed array, texture or buffer. Only gpujs.ts looks inside. */
export interface Handle {
  readonly length?: number;
}

export interface BufferHandle extends Handle {
  readonly buffer: WebGpuBuffer;
  delete(): void;
}

export interface TextureHandle extends Handle {
  /** Four numbers per element, the value first. */
  renderRawOutput(): Float32Array;
  delete(): void;
}

export interface CompiledKernel {
  (...args: readonly unknown[]): unknown;
  readonly kernel: { readonly fallbackReason: unknown };
  setOutput(output: readonly number[]): void;
}

type Class = new (...args: never[]) => object;

/** Kernels and, on WebGL, their context. */
export interface GpuJsProgram {
  createKernel(source: string, settings: object): CompiledKernel;
  destroy(): Promise<void>;
  readonly context: GlContext | null;
}

export interface GpuJsModule {
  readonly GPU: new (settings: { mode: GpuMode }) => GpuJsProgram;
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

export interface GlContext {
  isContextLost(): boolean;
  getExtension(name: string): { readonly UNMASKED_RENDERER_WEBGL: number } | null;
  getParameter(name: number): unknown;
}

/** Throws a DeviceError ("gpu-not-installed") if the package is missing. */
export async function loadGpuJs(): Promise<GpuJsModule> {
  try {
    const module = (await import("gpu.js")) as unknown as GpuJsModule & { readonly default?: GpuJsModule };
    return module.default ?? module;
  } catch (cause) {
    throw new DeviceError(
      "gpu-not-installed",
      "gpu: the package gpu.js is not installed; it is optional. " +
        "Install it with: npm install gpu.js@2.24.1 webgpu@0.6.2",
      {},
      { cause },
    );
  }
}
