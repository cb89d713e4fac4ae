/**
 * The differences between Node and browsers, which the core may not import: a clock, a compiler flag, threads, WebGPU.
 * The entry points (`early-exits/node`, `early-exits/browser`) provide a host; the core only calls it.
 */

export interface HostWorker {
  post(message: unknown): void;
  /** Ends the worker; resolves once it has ended. */
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
  /** Turns on relaxed SIMD if the engine hides it behind a flag (Node 20); harmless elsewhere. */
  enableRelaxedSimd?(): void;
  /**
   * Starts a worker from the text of a script, so that no file needs to be found at run time. The script is written for
   * a Web Worker: it sets `onmessage` and calls `postMessage`. Once it has sent a message it no longer keeps the
   * process alive. `onFailure` is called once if it stops on its own. Absent if there can be no workers, or none
   * that share memory.
   */
  spawnWorker?(script: string, onMessage: (message: unknown) => void, onFailure: (reason: Error) => void): HostWorker;
  /** Why `spawnWorker` is absent, and what would help, for the message of an error. */
  readonly noWorkersBecause?: string;
  /**
   * The counterpart of a browser's `navigator.gpu` if the platform has it in a package (Node). Absent if
   * `navigator.gpu` is all there is. Throws a DeviceError ("gpu-not-installed") if the package is missing.
   */
  webGpu?(adapter: "hardware" | "software"): Promise<WebGpuEntry>;
  /**
   * False if the platform knows, without loading anything, that there is no GPU. If absent, the device looks for one.
   */
  mayHaveGpu?(): boolean;
}
