/**
 * The GPU's kernels are text (kernel-source.ts), so gpu.js reads the same from the sources through tsx, from dist, and
 * from a minified bundle.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, expect, it } from "vitest";
import { root, run } from "./support.js";

/** Runs some kernels of the module `entry` and prints what they compute. */
const program = (entry: string): string => `
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

let folder: string;
let fromDist: string;
beforeAll(async () => {
  folder = await mkdtemp(join(root, "dist/gpu-"));
  await writeFile(join(folder, "dist.mjs"), program(join(root, "dist/tensor/gpu/gpu-device.js")));
  fromDist = (await run("node", [join(folder, "dist.mjs")], root)).stdout;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("from dist they compile and run", () => {
  const [softmax] = JSON.parse(fromDist) as number[][];
  expect(softmax!.slice(0, 3).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 6);
});

it("through tsx, which keeps the names of functions, they compute the same", async () => {
  await writeFile(join(folder, "source.ts"), program(join(root, "src/tensor/gpu/gpu-device.ts")));
  expect((await run("node", ["--import", "tsx", join(folder, "source.ts")], root)).stdout).toBe(fromDist);
});

it("from a minified bundle they compute the same", async () => {
  await writeFile(join(folder, "bundle.js"), program(join(root, "dist/tensor/gpu/gpu-device.js")));
  await build({
    configFile: false,
    logLevel: "error",
    root,
    build: {
      outDir: join(folder, "out"),
      minify: true,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: {
        input: join(folder, "bundle.js"),
        external: ["gpu.js"],
        output: { entryFileNames: "bundled.mjs" },
      },
    },
  });
  expect((await run("node", [join(folder, "out/bundled.mjs")], root)).stdout).toBe(fromDist);
});
