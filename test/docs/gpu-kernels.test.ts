/** The WGSL on src/tensor/gpu/README.md is what gpu.js generates from the kernel there. */
import { readFileSync } from "node:fs";
import gpujs from "gpu.js";
import { expect, it } from "vitest";
import { blocksOf } from "../../scripts/pages/blocks.js";
import { showing } from "../../src/tensor/gpu/open-gpujs.js";

it("the WGSL is what gpu.js generates", async () => {
  const page = readFileSync("src/tensor/gpu/README.md", "utf8");
  const [, kernel] = /const kernel = `([\s\S]*?)`/.exec(page)!;
  const entry = { requestAdapter: () => Promise.resolve(null) }; // the translation needs no adapter
  const wgsl = await showing(entry, async () => {
    const settings = {
      precision: "single",
      pipeline: true,
      immutable: true,
      loopMaxIterations: 2 ** 30,
      output: [1, 1],
      argumentTypes: { x: "Array", w: "Array", k: "Integer", n: "Integer" },
    } as object;
    const compiled = new gpujs.GPU({ mode: "webgpu" }).createKernel(kernel!, settings) as unknown as {
      (...args: unknown[]): Promise<unknown>;
      compiledSource: string;
    };
    await expect(compiled(Float32Array.of(1), Float32Array.of(1), 1, 1)).rejects.toThrow("no adapter");
    return compiled.compiledSource;
  });
  expect(wgsl).toContain(
    blocksOf(page)
      .find(({ language }) => language === "wgsl")!
      .code.trim(),
  );
  expect(wgsl).toContain(`const LOOP_MAX : i32 = ${2 ** 30};`);
});
