/**
 * Opens a mode of gpu.js on an adapter. A WebGPU adapter is chosen first (adapter.ts); WebGL reveals its adapter only
 * with a context, which is destroyed again if of the wrong kind.
 */
import type { AdapterWish, GpuMode } from "../device-options.js";
import { DeviceError } from "../../errors.js";
import type { Host, WebGpuEntry } from "../host.js";
import { acquireContext, namesSoftware, showing } from "./adapter.js";
import { GpuJs } from "./gpujs.js";
import { type GpuJsModule, type GpuJsProgram, loadGpuJs } from "./gpujs-module.js";

/** By number: globals only where WebGL is. */
const RENDERER = 0x1f01;
const MAX_TEXTURE_SIZE = 0x0d33;

interface GpuJsOptions {
  readonly mode: GpuMode;
  readonly adapter: AdapterWish;
  readonly host: Host;
  /** Called once, if the device is lost or reports an error outside any call. */
  readonly onFailure: (error: DeviceError) => void;
}

/** Undefined if this machine has no adapter of the requested kind. */
export async function openGpuJs(options: GpuJsOptions): Promise<GpuJs | undefined> {
  const { mode } = options;
  switch (mode) {
    case "cpu":
    case "webasm": {
      const module = await loadGpuJs();
      const program = new module.GPU({ mode });
      return new GpuJs({ mode, adapter: `gpu.js ${mode}`, hardware: false, maxBytes: 2 ** 31, module, program });
    }
    case "webgpu":
      return openWebGpu(options);
    case "webgl2":
    case "headlessgl":
      return openWebGl(mode, options.adapter);
    default:
      throw new DeviceError(
        "gpu-mode",
        `gpu: no mode ${JSON.stringify(mode satisfies never)}; choose webgpu, webgl2, headlessgl, webasm or cpu`,
        { mode },
      );
  }
}

async function openWebGpu({ adapter: wish, host, onFailure }: GpuJsOptions): Promise<GpuJs | undefined> {
  const entry =
    host.webGpu === undefined
      ? (globalThis as { navigator?: { gpu?: WebGpuEntry } }).navigator?.gpu
      : await host.webGpu(wish);
  const loadOwner = async (): Promise<GpuJsModule["WebGPUContext"]> => (await loadGpuJs()).WebGPUContext;
  const shared = await acquireContext(loadOwner, entry, wish, (message) =>
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
  const program = await showing(
    { requestAdapter: () => Promise.resolve(shared.adapter) },
    () => new module.GPU({ mode: "webgpu" }),
  );
  void device.lost.then(({ reason, message }) => {
    // Also when ended here: nobody listens then.
    onFailure(
      new DeviceError(
        "gpu-lost",
        `gpu: the device ${shared.name} was lost (${message}); its data is gone, create a new device`,
        { adapter: shared.name, reason },
      ),
    );
  });
  return new GpuJs({
    mode: "webgpu",
    adapter: shared.name,
    hardware: shared.hardware,
    maxBytes: Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize),
    module,
    program,
    shared,
  });
}

async function openWebGl(mode: "webgl2" | "headlessgl", wish: AdapterWish): Promise<GpuJs | undefined> {
  const module = await loadGpuJs();
  const program = withContext(module, mode);
  if (program === undefined) return undefined;
  const { context } = program;
  const names = context?.getExtension("WEBGL_debug_renderer_info");
  const parameter = names?.UNMASKED_RENDERER_WEBGL ?? RENDERER;
  const adapter = (context?.getParameter(parameter) as string | undefined) ?? "unknown";
  const hardware = !namesSoftware(adapter);
  if (hardware !== (wish === "hardware")) {
    await program.destroy();
    return undefined;
  }
  // Arrays become square textures, and their indices may be floats.
  const elements = Math.min(Number(context?.getParameter(MAX_TEXTURE_SIZE)) ** 2, 2 ** 24);
  return new GpuJs({ mode, adapter, hardware, maxBytes: 4 * elements, module, program, gl: context });
}

function withContext(module: GpuJsModule, mode: "webgl2" | "headlessgl"): GpuJsProgram | undefined {
  try {
    const program = new module.GPU({ mode });
    // The context exists once a kernel does.
    program.createKernel("function probe() { return 1; }", { output: [1], precision: "single", pipeline: true })();
    return program;
  } catch {
    return undefined;
  }
}
