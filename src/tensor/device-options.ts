/**
 * The options of devices. Apart from the devices, because these public declarations must not drag in those of
 * WebAssembly, which exist only in the DOM's library.
 */

export type DeviceName = "auto" | "gpu" | "wasm" | "reference";

/** Products and sums rounded separately, or fused ("relaxed SIMD"). */
export type WasmBuild = "portable" | "relaxed";

export interface WasmOptions {
  /**
   * Threads that share a kernel's work, 1..64. Not all cores by default: beside a process that wants a core, two
   * threads can be slower than one by several percent in spite of the guard (wasm/guard.ts; measure with
   * lab/speed/threads.ts). @default 1
   */
  readonly threads?: number;
  /**
   * Fused multiply-add ("relaxed") or separate roundings ("portable"); "auto" takes the first that runs.
   * @default "auto"
   */
  readonly build?: "auto" | WasmBuild;
  /**
   * Bytes that the device may take, 16 MiB to 4 GiB. A request beyond throws a DeviceError ("wasm-memory-full") and
   * leaves the device as it was. @default 4 GiB
   */
  readonly memoryLimit?: number;
}

/** A GPU, or its imitation on the CPU. */
export type AdapterWish = "hardware" | "software";

/** On a GPU ("webgpu", "webgl2", "headlessgl"), or on the CPU ("webasm", "cpu": for tests). */
export type GpuMode = "webgpu" | "webgl2" | "headlessgl" | "webasm" | "cpu";

export interface GpuOptions {
  /** A software adapter, for proving correctness, is taken only when asked for. @default "hardware" */
  readonly adapter?: AdapterWish;
  /**
   * "webasm" and "cpu" are for tests: no GPUs, and slower than the wasm device.
   * @default the first of WebGPU, WebGL2, headless GL that this machine has
   */
  readonly mode?: GpuMode;
}

/** `threads` and `build` concern wasm; `adapter` and `mode` the GPU. */
export interface CreateDeviceOptions extends WasmOptions, GpuOptions {}
