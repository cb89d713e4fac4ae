/** The GPU device's description of itself, and its refusals. */
import { afterEach, expect, test, vi } from "vitest";
import { createDevice, nodeHost } from "../../../src/node/host.js";
import { createDeviceOn } from "../../../src/tensor/create-device.js";
import { findAdapter, namesSoftware, openGpuJs } from "../../../src/tensor/gpu/open-gpujs.js";
import { scale } from "../../../src/tensor/gpu/elementwise.js";
import { createGpuDevice } from "../../../src/tensor/gpu/gpu-device.js";
import { expectCode } from "../../support/expect-code.js";
import type { WebGpuAdapter, WebGpuEntry } from "../../../src/tensor/host.js";

/** A WebGPU with these adapters: the first for ordinary requests, the second for requests that force the fallback. */
const entry = (first: string | null, fallback: string | null = null): WebGpuEntry => ({
  requestAdapter: (options = {}) => {
    const description = options.forceFallbackAdapter === true ? fallback : first;
    return Promise.resolve(description === null ? null : ({ info: { description } } satisfies WebGpuAdapter));
  },
});
const hostWith = (webGpu: WebGpuEntry) => ({ now: () => 0, webGpu: () => Promise.resolve(webGpu) });

afterEach(() => {
  vi.doUnmock("gpu.js");
  vi.doUnmock("webgpu");
});

test("gpu.js's fallbacks are reported as what they are", async () => {
  for (const [mode, kernelClass] of [
    ["cpu", "CPUKernel"],
    ["webasm", "WebAssemblyKernel"],
  ] as const) {
    const device = await createDevice("gpu", { mode });
    expect(device.backend).toBe("gpu");
    expect(device.info).toMatchObject({
      mode,
      kernelClass,
      adapter: `gpu.js ${mode}`,
      hardware: false,
      batchIndependent: true,
      description: `gpu: gpu.js ${kernelClass} on no GPU, for tests; bfloat16 and int8 weights are held as float32`,
    });
    await device.dispose();
    await device.dispose(); // twice is harmless
  }
});

test("no adapter, or only a software adapter, is an error that says what to do", async () => {
  await expectCode(createDevice("gpu", { adapter: "none" as never }), "option-unknown");
  await expect(createGpuDevice({ mode: "webgpu", host: hostWith(entry("llvmpipe (LLVM 19)")) })).rejects.toThrow(
    'gpu: no hardware adapter for webgpu; use "auto" to fall back to the CPU, or { adapter: "software" } for tests',
  );
  await expect(
    createGpuDevice({ mode: "webgpu", adapter: "software", host: hostWith(entry("NVIDIA")) }),
  ).rejects.toThrow("install a software driver (Debian: mesa-vulkan-drivers libvulkan1)");
});

test("a machine without an adapter never loads gpu.js", async () => {
  vi.doMock("gpu.js", () => {
    throw new Error("loaded");
  });
  await expectCode(createGpuDevice({ mode: "webgpu", host: hostWith(entry(null)) }), "gpu-missing");
});

test("missing packages are an error with the command that installs them", async () => {
  vi.doMock("gpu.js", () => {
    throw new Error("Cannot find package");
  });
  await expect(createGpuDevice({ mode: "cpu", host: nodeHost })).rejects.toThrow(
    "gpu: the package gpu.js is not installed; it is optional. Install it with: npm install gpu.js@2.24.1 webgpu@0.6.2",
  );
  vi.doMock("webgpu", () => {
    throw new Error("Cannot find package");
  });
  await expect(createDevice("gpu")).rejects.toThrow(
    "gpu: the package webgpu is not installed; it is optional. Install it with: npm install gpu.js@2.24.1 webgpu@0.6.2",
  );
});

test("software adapters are recognized by the names of their drivers", async () => {
  expect(
    [
      "llvmpipe (LLVM 19.1.7, 256 bits)",
      "ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device))",
      "Microsoft Basic Render Driver",
    ].map(namesSoftware),
  ).toEqual([true, true, true]);
  expect(["NVIDIA H100 PCIe", "AMD Radeon RX 7900", "Apple M2", "Intel(R) Arc(tm)"].map(namesSoftware)).toEqual(
    Array(4).fill(false),
  );
  expect(await findAdapter(entry("NVIDIA", "llvmpipe"), "hardware")).toMatchObject({ name: "NVIDIA", hardware: true });
  expect(await findAdapter(entry("NVIDIA", "llvmpipe"), "software")).toMatchObject({
    name: "llvmpipe",
    hardware: false,
  });
  expect(await findAdapter(entry("llvmpipe"), "software")).toMatchObject({ name: "llvmpipe", hardware: false });
  expect(await findAdapter(entry("NVIDIA"), "software")).toBeUndefined();
  expect(await findAdapter(undefined, "hardware")).toBeUndefined();
});

test("auto takes the CPU if there is no hardware adapter, or its memory has a limit", async () => {
  const asked = vi.fn(() => Promise.resolve(entry("llvmpipe")));
  for (const [mayHave, options] of [
    [false, {}],
    [true, {}],
    [true, { memoryLimit: 2 ** 28 }],
  ] as const) {
    const device = await createDeviceOn({ ...nodeHost, webGpu: asked, mayHaveGpu: () => mayHave }, "auto", options);
    expect(device.backend).toBe("wasm");
    await device.dispose();
  }
  expect(asked).toHaveBeenCalledOnce(); // if the platform already knows that there is no GPU, nothing is loaded
});

test("a kernel that gpu.js silently ran on another backend is an error", async () => {
  // As gpu.js does without a GL context, for example: it silently takes another backend.
  vi.doMock("gpu.js", async (original) => {
    const gpujs = (await original<{ default: { GPU: new (settings: object) => object } }>()).default;
    return {
      default: {
        ...gpujs,
        GPU: class extends gpujs.GPU {
          constructor() {
            super({ mode: "cpu" });
          }
        },
      },
    };
  });
  const gpu = await openGpuJs({ mode: "webasm", adapter: "hardware", host: nodeHost, onFailure: () => undefined });
  expect(() => gpu!.run(scale, 1, 1, [Float32Array.of(1), 3])).toThrow(
    "gpu: gpu.js ran the kernel scale as CPUKernel instead of WebAssemblyKernel (null)",
  );
  await gpu!.dispose();
});

test("an unknown mode or device is an error that names the legal ones", async () => {
  await expect(createGpuDevice({ mode: "webgl9" as "cpu", host: nodeHost })).rejects.toThrow(
    "choose webgpu, webgl2, headlessgl, webasm or cpu",
  );
  await expect(createDevice("cuda" as "gpu")).rejects.toThrow(
    'createDevice: no device "cuda"; choose auto, gpu, wasm or reference',
  );
});
