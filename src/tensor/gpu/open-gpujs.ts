/**
 * Opens a mode of gpu.js on an adapter. gpu.js keeps one WebGPU device per program, from whatever `navigator.gpu`
 * returns; so a WebGPU adapter is chosen and checked first, and gpu.js sees only that one. WebGL reveals its adapter
 * only with a context, which is destroyed again if of the wrong kind. Software adapters (llvmpipe, SwiftShader) name
 * themselves, and are used only on request.
 */
import type { AdapterWish, GpuMode } from "../device-options.js";
import { DeviceError } from "../../errors.js";
import type { Host, WebGpuAdapter, WebGpuEntry } from "../host.js";
import { type FoundAdapter, GpuJs, type SharedContext } from "./gpujs.js";
import {
  type ContextOwner,
  type GpuJsModule,
  type GpuJsProgram,
  loadGpuJs,
  type WebGpuContext,
} from "./gpujs-module.js";

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
  const shared = await acquireContext(entry, wish, (message) =>
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
  ).catch(async (error: unknown) => {
    await shared.release();
    throw error;
  });
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

/** Recognises rasterisers that run on the CPU. */
export function namesSoftware(text: string): boolean {
  return /llvmpipe|lavapipe|swiftshader|softpipe|software|basic render|warp\b/i.test(text);
}

export async function findAdapter(
  entry: WebGpuEntry | undefined,
  wish: AdapterWish,
): Promise<FoundAdapter | undefined> {
  const attempts =
    wish === "software" ? [{ forceFallbackAdapter: true }, {}] : [{ powerPreference: "high-performance" } as const];
  for (const options of attempts) {
    const adapter = (await entry?.requestAdapter(options)) ?? undefined;
    if (adapter === undefined) continue;
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
    const hardware =
      isFallbackAdapter !== true && !namesSoftware([vendor, architecture, device, description].join(" "));
    if (hardware === (wish === "hardware")) return { adapter, hardware, name: nameOf(adapter) };
  }
  return undefined;
}

/** The card and, in parentheses, its driver; browsers report only vendor and architecture. */
function nameOf({ info: { vendor, architecture, device, description } }: WebGpuAdapter): string {
  const card = device || [vendor, architecture].filter(Boolean).join(" ");
  const driver = description;
  return card && driver ? `${card} (${driver})` : card || driver || "unnamed";
}

interface Shared extends FoundAdapter {
  readonly context: WebGpuContext;
  readonly owner: ContextOwner;
  /** dawn's entry must outlive its devices. */
  readonly entry: WebGpuEntry | undefined;
  /** One per user: the device does not say whose call an error belongs to. */
  readonly listeners: Set<(message: string) => void>;
  lost: boolean;
}

let current: Shared | undefined;
let turn: Promise<unknown> = Promise.resolve();

/**
 * gpu.js's WebGPU device on an adapter of the requested kind; undefined if there is none, and then gpu.js is not
 * loaded. `onError` receives errors outside any call, whoever caused them.
 */
function acquireContext(
  entry: WebGpuEntry | undefined,
  wish: AdapterWish,
  onError: (message: string) => void,
): Promise<SharedContext | undefined> {
  const opened = turn.then(() => open(entry, wish, onError));
  turn = opened.catch(() => undefined);
  return opened;
}

async function open(
  entry: WebGpuEntry | undefined,
  wish: AdapterWish,
  onError: (message: string) => void,
): Promise<SharedContext | undefined> {
  if (current?.lost === true) current = undefined;
  if (current !== undefined && current.hardware !== (wish === "hardware")) {
    throw new DeviceError(
      "gpu-adapter-busy",
      `gpu: gpu.js keeps one WebGPU device per program, and ${current.name} is in use; dispose that device ` +
        `before asking for ${wish}`,
      { inUse: current.name, wish },
    );
  }
  if (current === undefined) {
    const found = await findAdapter(entry, wish);
    if (found === undefined) return undefined;
    const owner = (await loadGpuJs()).WebGPUContext;
    const context = await showing({ requestAdapter: () => Promise.resolve(found.adapter) }, () => owner.acquire());
    const shared: Shared = { ...found, context, owner, entry, listeners: new Set(), lost: false };
    void context.device.lost.then(() => (shared.lost = true));
    context.device.onuncapturederror = ({ error }) => {
      for (const listener of shared.listeners) listener(error.message);
    };
    current = shared;
  }
  const { listeners, ...shared } = current;
  listeners.add(onError);
  return {
    ...shared,
    async release() {
      listeners.delete(onError);
      if (listeners.size > 0) return;
      if (current?.listeners === listeners) current = undefined;
      await shared.owner.destroy();
    },
  };
}

/**
 * Runs `body` while `navigator.gpu` is `entry`. Node 20 has no navigator, later versions have one without a gpu,
 * browsers have a getter.
 */
export async function showing<T>(entry: WebGpuEntry, body: () => T | Promise<T>): Promise<T> {
  const scope = globalThis as { navigator?: object };
  const own = scope.navigator === undefined;
  if (own) Object.defineProperty(scope, "navigator", { value: {}, configurable: true });
  const { navigator } = scope as { navigator: { gpu?: WebGpuEntry } };
  Object.defineProperty(navigator, "gpu", { value: entry, configurable: true });
  try {
    return await body();
  } finally {
    delete navigator.gpu;
    if (own) delete scope.navigator;
  }
}
