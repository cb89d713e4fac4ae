/**
 * Creates devices by name, for any host. An explicit wish that cannot be met throws; only "auto" chooses, as
 * `device.backend` says. Kernels are imported only when a device needs them.
 */
import { DeviceError } from "../errors.js";
import { allNames, requireKnown } from "../known.js";
import type { Device } from "./device.js";
import type { CreateDeviceOptions, DeviceName } from "./device-options.js";
import type { Host } from "./host.js";

const optionNames = allNames<CreateDeviceOptions>()("threads", "build", "memoryLimit", "adapter", "mode");

/** Calls `use` with a device, or with a new one of that name, which is disposed of if `use` fails. */
export async function onDevice<Result>(
  host: Host,
  wish: Device | DeviceName,
  use: (device: Device) => Promise<Result>,
): Promise<Result> {
  if (typeof wish !== "string") return use(wish);
  const device = await createDeviceOn(host, wish, {});
  return use(device).catch(async (error: unknown) => {
    await device.dispose();
    throw error;
  });
}

export async function createDeviceOn(host: Host, name: DeviceName, options: CreateDeviceOptions): Promise<Device> {
  requireKnown("createDevice", options, optionNames);
  switch (name) {
    case "auto":
      return (
        (await hardwareGpu(host, options)) ??
        wasm(host, options).catch((error: unknown) => {
          if (error instanceof DeviceError && error.code === "wasm-simd-missing") return reference();
          throw error;
        })
      );
    case "gpu":
      return gpu(host, options);
    case "wasm":
      return wasm(host, options);
    case "reference":
      return reference();
    default:
      throw new DeviceError(
        "device-unknown",
        `createDevice: no device ${JSON.stringify(name)}; choose auto, gpu, wasm or reference`,
        { name },
      );
  }
}

async function gpu(host: Host, options: CreateDeviceOptions): Promise<Device> {
  const { createGpuDevice } = await import("./gpu/gpu-device.js");
  return createGpuDevice({ ...options, host });
}

/**
 * The GPU device, if there is WebGPU on hardware and the packages are installed. Options of the wasm device are a wish
 * for that device. WebGL needs a request: to learn if it is hardware, gpu.js would have to be loaded first.
 */
async function hardwareGpu(
  host: Host,
  { threads, build, memoryLimit }: CreateDeviceOptions,
): Promise<Device | undefined> {
  if ((threads ?? build ?? memoryLimit) !== undefined || host.mayHaveGpu?.() === false) return undefined;
  try {
    return await gpu(host, { mode: "webgpu" });
  } catch (error) {
    if (error instanceof DeviceError && ["gpu-missing", "gpu-not-installed", "gpu-adapter-busy"].includes(error.code)) {
      return undefined;
    }
    throw error;
  }
}

async function wasm(host: Host, options: CreateDeviceOptions): Promise<Device> {
  const { createWasmDevice } = await import("./wasm/wasm-device.js");
  return createWasmDevice({ ...options, host });
}

async function reference(): Promise<Device> {
  const { createReferenceDevice } = await import("./reference/reference-device.js");
  return createReferenceDevice();
}
