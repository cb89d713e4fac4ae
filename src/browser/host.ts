/**
 * The browser's side of `Host`. Threads share memory, which a page gets only if it is cross-origin isolated, and the
 * caller sleeps until workers finish, which a page's own thread may not do. In both cases `spawnWorker` is absent and
 * the reason is given.
 */
import { createDeviceOn } from "../tensor/create-device.js";
import type { Host, HostWorker } from "../tensor/host.js";
import type { CreateDeviceOptions, Device, DeviceName } from "../tensor/index.js";

export function browserHost(): Host {
  const noWorkersBecause = whyNoWorkers();
  const now = (): number => performance.now();
  const mayHaveGpu = (): boolean => "gpu" in navigator;
  return noWorkersBecause === undefined ? { now, mayHaveGpu, spawnWorker } : { now, mayHaveGpu, noWorkersBecause };
}

function whyNoWorkers(): string | undefined {
  if (typeof document !== "undefined") {
    return "a page's own thread may not wait for others; create the device in a Web Worker";
  }
  if (!globalThis.crossOriginIsolated) {
    return (
      "the page is not cross-origin isolated; it needs the headers " +
      "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp"
    );
  }
  return undefined;
}

function spawnWorker(
  script: string,
  onMessage: (message: unknown) => void,
  onFailure: (reason: Error) => void,
): HostWorker {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const worker = new Worker(url);
  let ended = false;
  const end = (): void => {
    ended = true;
    worker.terminate();
    URL.revokeObjectURL(url);
  };
  worker.onmessage = ({ data }: MessageEvent) => onMessage(data);
  worker.onerror = (event) => {
    if (ended) return;
    end();
    const refused = "the worker's script was refused; does the page's content security policy allow blob: workers?";
    onFailure(new Error(event.message || refused));
  };
  return {
    post: (message) => worker.postMessage(message),
    terminate() {
      end();
      return Promise.resolve();
    },
  };
}
/**
 * Creates a device by name:
 *   gpu         gpu.js over WebGPU or WebGL2. Needs the optional package gpu.js, and hardware unless a software adapter
 *               is asked for.
 *   wasm        WebAssembly SIMD. More than one thread needs a Web Worker as the caller, and a cross-origin isolated
 *               page.
 *   reference   plain loops, the oracle
 *   auto        gpu if there is WebGPU on hardware and the package is installed, otherwise wasm
 * Throws a DeviceError if an explicit wish cannot be met. Kernels block the thread that calls them, so a page that
 * should stay responsive calls this in a worker.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  return createDeviceOn(browserHost(), name, options);
}
