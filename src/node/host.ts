/**
 * Node's side of `Host`: the performance clock, the V8 flag that Node 20 needs before it compiles fused multiply-adds,
 * WebGPU from the optional package `webgpu` (Dawn), and worker_threads with the interface of Web Workers.
 */
import { readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { DeviceError } from "../errors.js";
import { createDeviceOn } from "../tensor/create-device.js";
import type { Host, WebGpuEntry } from "../tensor/host.js";
import type { CreateDeviceOptions, Device, DeviceName } from "../tensor/index.js";

export const nodeHost: Host = {
  now: () => performance.now(),
  // On by default from Node 22. It must come before the first module that uses relaxed SIMD is compiled.
  enableRelaxedSimd: () => setFlagsFromString("--experimental-wasm-relaxed-simd"),

  async webGpu(adapter) {
    let dawn: { create(flags: readonly string[]): unknown };
    try {
      dawn = await import("webgpu");
    } catch (cause) {
      throw new DeviceError(
        "gpu-not-installed",
        "gpu: the package webgpu is not installed; it is optional. " +
          "Install it with: npm install gpu.js@2.24.1 webgpu@0.6.2",
        {},
        { cause },
      );
    }
    return dawn.create(adapter === "software" ? ["adapter=llvmpipe"] : []) as WebGpuEntry;
  },

  // Linux shows GPUs as device files. Looking there first saves loading a graphics driver on a machine without a GPU.
  mayHaveGpu: () =>
    process.platform !== "linux" ||
    filesIn("/dev").some((file) => /^(nvidia\d+|dxg|kfd)$/.test(file)) ||
    filesIn("/dev/dri").some((file) => file.startsWith("renderD")),

  spawnWorker(script, onMessage, onFailure) {
    // No inherited flags: those of a loader (tsx, vitest) would only slow down the start.
    const worker = new Worker(WEB_WORKER + script, { eval: true, execArgv: [], env: {} });
    let ended = false;
    const fail = (reason: Error): void => {
      if (!ended) onFailure(reason);
      ended = true;
    };
    worker.once("message", () => worker.unref());
    worker.on("message", onMessage);
    worker.once("error", (error: unknown) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.once("exit", (code) => fail(new Error(`the worker exited with code ${code}`)));
    return {
      post: (message) => worker.postMessage(message),
      async terminate() {
        ended = true;
        await worker.terminate();
      },
    };
  },
};

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Gives a script the globals of a Web Worker that it uses. */
const WEB_WORKER = `{
  const { parentPort } = require("node:worker_threads");
  globalThis.postMessage = (message) => parentPort.postMessage(message);
  parentPort.on("message", (data) => globalThis.onmessage({ data }));
}
`;
/**
 * Creates a device by name:
 *   gpu         gpu.js over WebGPU. Needs the optional packages gpu.js and webgpu, and hardware unless a software
 *               adapter is asked for.
 *   wasm        WebAssembly SIMD
 *   reference   plain loops, the oracle
 *   auto        gpu if there is a hardware GPU and the packages are installed, otherwise wasm
 * Throws a DeviceError if an explicit wish cannot be met.
 */
export async function createDevice(name: DeviceName = "auto", options: CreateDeviceOptions = {}): Promise<Device> {
  return createDeviceOn(nodeHost, name, options);
}
