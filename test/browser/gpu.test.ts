/**
 * The GPU device in Chromium, over WebGPU and over WebGL2: the kernel laws and the traps, on its software adapter or,
 * with GPU_ADAPTER=hardware, on the machine's GPU. A missing adapter fails. exp: WGSL promises 3 + 2|x| units in the
 * last place, and GLSL as much; Φ as in test/gpu/kernels.test.ts.
 */
import { createDevice } from "early-exits/browser";
import { expect, inject, it } from "vitest";
import { browserHost } from "../../src/browser/host.js";
import { scale } from "../../src/tensor/gpu/elementwise.js";
import { Engine } from "../../src/tensor/gpu/engine.js";
import { createGpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { openGpuJs } from "../../src/tensor/gpu/open-gpujs.js";
import { describeKernelLaws } from "../laws/kernels.js";
import { UNIT } from "../laws/kernels/law.js";
import { describeGpuTraps } from "../support/gpu-traps.js";
import { expectCode } from "../support/expect-code.js";

declare module "vitest" {
  interface ProvidedContext {
    gpuAdapter: "hardware" | "software";
  }
}
const adapter = inject("gpuAdapter");

const GPU = { exp: 2 * (3 + 2 * 88.7), cdf: 0.75e-7 + 20 * UNIT, integerProducts: "float32" } as const;

for (const [mode, kernelClass] of [
  ["webgpu", "WebGPUKernel"],
  ["webgl2", "WebGL2Kernel"],
] as const) {
  const create = () => createGpuDevice({ mode, adapter, host: browserHost() });
  describeKernelLaws(`gpu in a page, ${mode}`, create, GPU, { runs: mode === "webgl2" ? 2 : 3, hot: 0 });
  describeGpuTraps(`${mode} in a page`, create);

  it(`${mode} in a page says what runs`, async () => {
    const device = await create();
    expect(device.info).toMatchObject({ mode, kernelClass, hardware: adapter === "hardware" });
    console.info(`${mode} in a page: ${device.info.adapter}`);
    expect(/swiftshader/i.test(device.info.adapter)).toBe(adapter === "software");
    expect(device.info.description.includes("(software: correctness only)")).toBe(adapter === "software");
    await device.dispose();
  });
}

it("a lost WebGL context is a typed error at the next read, not zeros", async () => {
  const gpu = await openGpuJs({ mode: "webgl2", adapter, host: browserHost(), onFailure: () => undefined });
  const engine = new Engine(gpu!);
  const x = engine.upload([1, 2]);
  expect(await engine.read(engine.vector(scale, 2, { x, factor: 2 }))).toEqual(Float32Array.of(2, 4));
  (gpu!.gl as unknown as WebGL2RenderingContext).getExtension("WEBGL_lose_context")!.loseContext();
  await expectCode(engine.read(x), "gpu-lost");
  await engine.dispose();
});

it("a page's software adapter is not taken for a GPU, and hardware is", async () => {
  if (adapter === "hardware") {
    for (const device of [await createDevice("gpu"), await createDevice()]) {
      expect(device.backend).toBe("gpu");
      await device.dispose();
    }
    return;
  }
  await expectCode(createDevice("gpu"), "gpu-missing");
  expect((await createDevice()).backend).toBe("wasm");
});
