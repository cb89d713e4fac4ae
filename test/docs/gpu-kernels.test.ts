/** Every block of docs/gpu-kernels.md: the TypeScript runs and agrees with itself, and the WGSL is what gpu.js makes of the kernel. */
import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import gpujs from "gpu.js";
import { expect, it } from "vitest";
import { showing } from "../../src/tensor/gpu/adapter.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = await readFile(`${root}docs/gpu-kernels.md`, "utf8");
const blocks = (language: string): string[] => Array.from(page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g")), ([, block]) => block!);

it("the loops and the kernel give the same product", async () => {
  const file = `${root}test/docs/gpu-kernels.generated.ts`;
  await writeFile(file, blocks("ts").join("\n"));
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", file], { cwd: root });
    expect(stdout).toBe("true\n");
  } finally {
    await rm(file, { force: true });
  }
});

it("the WGSL is what gpu.js writes", async () => {
  const [, kernel] = /const kernel = `([\s\S]*?)`/.exec(page)!;
  const entry = { requestAdapter: () => Promise.resolve(null) }; // the translation needs no adapter
  const wgsl = await showing(entry, async () => {
    const settings = { precision: "single", pipeline: true, immutable: true, loopMaxIterations: 2 ** 30, output: [1, 1], argumentTypes: { x: "Array", w: "Array", k: "Integer", n: "Integer" } } as object;
    const compiled = new gpujs.GPU({ mode: "webgpu" }).createKernel(kernel!, settings) as unknown as { (...args: unknown[]): Promise<unknown>; compiledSource: string };
    await expect(compiled(Float32Array.of(1), Float32Array.of(1), 1, 1)).rejects.toThrow("no adapter");
    return compiled.compiledSource;
  });
  const [block] = blocks("wgsl");
  expect(wgsl).toContain(block!.trim());
  expect(wgsl).toContain(`const LOOP_MAX : i32 = ${2 ** 30};`);
});
