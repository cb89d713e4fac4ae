/**
 * The GPU device in Chromium, over WebGPU and over WebGL2, on its software adapter: the kernel laws and the traps. A missing adapter fails.
 * exp: WGSL promises 3 + 2|x| units in the last place, and GLSL as much; Φ as in test/gpu/kernels.test.ts.
 */
import { createDevice } from "early-exits/browser";
import { expect, it } from "vitest";
import { browserHost } from "../../src/browser/host.js";
import { createGpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { describeKernelLaws } from "../laws/kernels.js";
import { UNIT } from "../laws/kernels/law.js";
import { describeGpuTraps } from "../support/gpu-traps.js";

const GPU = { exp: 2 * (3 + 2 * 88.7), cdf: 0.75e-7 + 20 * UNIT, int8Activation: 0 } as const;

for (const [mode, kernelClass] of [["webgpu", "WebGPUKernel"], ["webgl2", "WebGL2Kernel"]] as const) {
  const create = (): ReturnType<typeof createGpuDevice> => createGpuDevice({ mode, adapter: "software", host: browserHost() });
  describeKernelLaws(`gpu in a page, ${mode}`, create, GPU, { runs: mode === "webgl2" ? 2 : 3, hot: 0 });
  describeGpuTraps(`${mode} in a page`, create);

  it(`${mode} in a page says what runs`, async () => {
    const device = await create();
    expect(device.info).toMatchObject({ mode, kernelClass, hardware: false });
    expect(device.info.adapter).toMatch(/swiftshader/i);
    expect(device.info.description).toContain("(software: correctness only)");
    await device.dispose();
  });
}

it("a page's software adapter is not taken for a GPU", async () => {
  await expect(createDevice("gpu")).rejects.toMatchObject({ code: "gpu-missing" });
  expect((await createDevice()).backend).toBe("wasm");
});
