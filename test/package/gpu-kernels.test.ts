/**
 * The GPU's kernels are text (kernel-source.ts), so gpu.js reads the same from the sources through tsx, from dist, and
 * from a minified bundle.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";
import { expect, it } from "vitest";
import { scratch } from "../support/scratch.js";
import { root, run } from "./support.js";

/** Runs some kernels of the module `entry` and prints what they compute. */
const program = (entry: string) => `
import { createGpuDevice } from ${JSON.stringify(entry)};
const device = await createGpuDevice({ mode: "cpu", host: { now: () => 0 } });
const { kernels } = device;
const x = device.upload([0.5, -1, 2, 60, -60, 0.1]);
const dims = { batch: 1, time: 3, heads: 1, kvHeads: 1, headDim: 2 };
const made = [
  kernels.softmax(x, 2, 3),
  kernels.unary("geluTanh", x),
  kernels.unary("gelu", x),
  kernels.attention(x, x, x, dims),
  kernels.rowStats(x, 2, 3),
  kernels.rowArgmax(x, 2, 3),
  kernels.swiglu(x, 1, 3),
];
console.log(JSON.stringify(await Promise.all(made.map(async (storage) => Array.from(await device.read(storage))))));
await device.dispose();
`;

const folder = scratch(join(root, "dist/gpu-"));
/** Output of the program that imports an entry. */
async function printed(file: string, entry: string, ...options: readonly string[]) {
  await writeFile(folder.path(file), program(join(root, entry)));
  return (await run("node", [...options, folder.path(file)], root)).stdout;
}
const fromDist = await printed("dist.mjs", "dist/tensor/gpu/gpu-device.js");

it("from dist they compile and run", () => {
  const [softmax] = JSON.parse(fromDist) as number[][];
  expect(softmax!.slice(0, 3).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 6);
});

it("through tsx, which keeps the names of functions, they compute the same", async () =>
  expect(await printed("source.ts", "src/tensor/gpu/gpu-device.ts", "--import", "tsx")).toBe(fromDist));

it("from a minified bundle they compute the same", async () => {
  await build({
    configFile: false,
    logLevel: "error",
    root,
    build: {
      outDir: folder.path("out"),
      minify: true,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: {
        input: folder.path("dist.mjs"),
        external: ["gpu.js"],
        output: { entryFileNames: "bundled.mjs" },
      },
    },
  });
  expect((await run("node", [folder.path("out/bundled.mjs")], root)).stdout).toBe(fromDist);
});
