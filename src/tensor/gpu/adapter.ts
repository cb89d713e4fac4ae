/**
 * Chooses and shares a WebGPU adapter. gpu.js keeps one WebGPU device per program, from whatever `navigator.gpu`
 * returns; so the adapter is chosen and checked first, and gpu.js sees only that one. Software adapters (llvmpipe,
 * SwiftShader) name themselves, and are used only on request.
 */
import { DeviceError } from "../../errors.js";
import type { AdapterWish } from "../device-options.js";
import type { WebGpuAdapter, WebGpuEntry } from "../host.js";

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

interface FoundAdapter {
  readonly adapter: WebGpuAdapter;
  readonly hardware: boolean;
  /** As the driver names it. */
  readonly name: string;
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

/** Hands out gpu.js's device. */
export interface ContextOwner {
  acquire(): Promise<WebGpuContext>;
  destroy(): Promise<void>;
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

export interface SharedContext extends FoundAdapter {
  readonly context: WebGpuContext;
  /** The last user ends the device. */
  release(): Promise<void>;
}

/**
 * gpu.js's WebGPU device on an adapter of the requested kind; undefined if there is none, and then gpu.js is not
 * loaded. `onError` receives errors outside any call, whoever caused them.
 */
export function acquireContext(
  loadOwner: () => Promise<ContextOwner>,
  entry: WebGpuEntry | undefined,
  wish: AdapterWish,
  onError: (message: string) => void,
): Promise<SharedContext | undefined> {
  const opened = turn.then(() => open(loadOwner, entry, wish, onError));
  turn = opened.catch(() => undefined);
  return opened;
}

async function open(
  loadOwner: () => Promise<ContextOwner>,
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
    const owner = await loadOwner();
    const context = await showing({ requestAdapter: () => Promise.resolve(found.adapter) }, () => owner.acquire());
    const shared: Shared = { ...found, context, owner, entry, listeners: new Set(), lost: false };
    void context.device.lost.then(() => (shared.lost = true));
    context.device.onuncapturederror = ({ error }) => {
      for (const listener of shared.listeners) listener(error.message);
    };
    current = shared;
  }
  const { listeners, ...shared } = current;
  const own = (message: string): void => onError(message);
  listeners.add(own);
  return {
    ...shared,
    async release() {
      listeners.delete(own);
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
