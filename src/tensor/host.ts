/**
 * The differences between Node and browsers, which the core may not import: a clock, a compiler flag, threads, WebGPU.
 * The entry points (`early-exits/node`, `early-exits/browser`) provide a host.
 */

export interface HostWorker {
  post(message: unknown): void;
  /** Resolves once the worker has ended. */
  terminate(): Promise<void>;
}

export interface WebGpuEntry {
  requestAdapter(options?: {
    readonly powerPreference?: "high-performance";
    readonly forceFallbackAdapter?: boolean;
  }): Promise<WebGpuAdapter | null>;
}

export interface WebGpuAdapter {
  readonly info: {
    readonly vendor?: string;
    readonly architecture?: string;
    readonly device?: string;
    readonly description?: string;
    readonly isFallbackAdapter?: boolean;
  };
}

export interface Host {
  now(): number;
  /** Turns on relaxed SIMD behind a flag (Node 20); harmless elsewhere. */
  enableRelaxedSimd?(): void;
  /**
   * Starts a worker from a script's text, so that no file is needed at run time. The script is a Web Worker's: it sets
   * `onmessage` and calls `postMessage`. After its first message it no longer keeps the process alive. `onFailure` is
   * called once if it stops on its own. Absent if there can be no workers, or none that share memory.
   */
  spawnWorker?(script: string, onMessage: (message: unknown) => void, onFailure: (reason: Error) => void): HostWorker;
  /** Says why `spawnWorker` is absent, and what would help. */
  readonly noWorkersBecause?: string;
  /**
   * A browser's `navigator.gpu`, from a package (Node). Absent if `navigator.gpu` is all there is. Throws a DeviceError
   * ("gpu-not-installed") if the package is missing.
   */
  webGpu?(adapter: "hardware" | "software"): Promise<WebGpuEntry>;
  /** False if there is surely no GPU, known without loading anything. If absent, the device looks for one. */
  mayHaveGpu?(): boolean;
}
