/**
 * Imports run one way (see LAYERS), gpu.js stays in tensor/gpu, `node:*` in node and cli, and the core neither prints
 * nor looks at the clock or at Math.random.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
/** A file may import from its own layer and from those before it. */
const LAYERS = [
  "src/errors.ts",
  "src/version.ts",
  "src/tensor/",
  "src/model/",
  "src/exits/",
  "src/calibrate/",
  "src/evaluate/",
  "src/index.ts",
  "src/browser/",
  "src/node/",
  "src/cli/",
  "bench/",
  "examples/",
];
const layerOf = (path: string): number => LAYERS.findIndex((layer) => path.startsWith(layer));
const NODE = layerOf("src/node/");
const FORBIDDEN = /\bMath\s*\.\s*random\b|\bDate\s*\.\s*now\b|\bnew\s+Date\b|\bconsole\b/g;

/** What a file (path from the root, with slashes) does against the rules. */
function violations(path: string, source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|(?<![:"'`])\/\/.*/g, "");
  const layer = layerOf(path);
  if (layer < 0) return [`${path} belongs to no layer`];
  const imports = Array.from(code.matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g), (match) => match[1]!);
  const problems = imports.filter((target) => {
    if (target === "gpu.js") return !path.startsWith("src/tensor/gpu/");
    if (target.startsWith("node:")) return layer < NODE;
    return (
      target.startsWith(".") &&
      layerOf(
        normalize(join(dirname(path), target))
          .replaceAll(sep, "/")
          .replace(/\.js$/, ".ts"),
      ) > layer
    );
  });
  return [
    ...problems.map((target) => `${path} imports ${target}`),
    ...(layer < NODE ? Array.from(code.matchAll(FORBIDDEN), ([word]) => `${path} uses ${word}`) : []),
  ];
}

test("every file keeps the rules", () => {
  const files = ["src", "bench", "examples"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) =>
        join(folder, path).replaceAll(sep, "/"),
      ),
    )
    .filter((path) => path.endsWith(".ts") && !path.includes("/node_modules/"));
  expect(files.length).toBeGreaterThan(50);
  expect(files.flatMap((path) => violations(path, readFileSync(join(root, path), "utf8")))).toEqual([]);
});

test.for([
  [
    "src/tensor/ops/rope.ts",
    'import { rotary } from "../../model/rotary.js";',
    "src/tensor/ops/rope.ts imports ../../model/rotary.js",
  ],
  ["src/errors.ts", 'import type { Tensor } from "./tensor/tensor.js";', "src/errors.ts imports ./tensor/tensor.js"],
  [
    "src/model/generate.ts",
    'export {\n  a,\n  b,\n} from "../exits/head.js";',
    "src/model/generate.ts imports ../exits/head.js",
  ],
  [
    "src/exits/policy.ts",
    'const late = await import("../calibrate/certify.js");',
    "src/exits/policy.ts imports ../calibrate/certify.js",
  ],
  [
    "src/calibrate/certify.ts",
    'import type { TaskKind } from "../evaluate/tasks.js";',
    "src/calibrate/certify.ts imports ../evaluate/tasks.js",
  ],
  [
    "src/calibrate/certify.ts",
    'import { version } from "../index.js";',
    "src/calibrate/certify.ts imports ../index.js",
  ],
  ["src/index.ts", 'export * from "./node/index.js";', "src/index.ts imports ./node/index.js"],
  ["src/tensor/device.ts", 'import { GPU } from "gpu.js";', "src/tensor/device.ts imports gpu.js"],
  [
    "src/tensor/wasm/loader.ts",
    'import "node:worker_threads";',
    "src/tensor/wasm/loader.ts imports node:worker_threads",
  ],
  ["src/model/sampling.ts", "const u = Math.random(); // no", "src/model/sampling.ts uses Math.random"],
  ["src/exits/train.ts", "const t = Date.now();", "src/exits/train.ts uses Date.now"],
  ["src/exits/train.ts", 'const url = "https://x"; console.log(url);', "src/exits/train.ts uses console"],
  ["src/browser/host.ts", 'import { nodeHost } from "../node/host.js";', "src/browser/host.ts imports ../node/host.js"],
  ["src/other/new.ts", "", "src/other/new.ts belongs to no layer"],
])("%s with %s breaks a rule", ([path, source, problem]) => expect(violations(path!, source!)).toEqual([problem]));

test("what is allowed is not a violation", () => {
  expect(
    violations(
      "src/exits/decode.ts",
      'import { scope } from "../tensor/tensor.js"; // console, Date.now\n/* Math.random */ import { x } from ' +
        '"./head.js";',
    ),
  ).toEqual([]);
  expect(
    violations(
      "src/cli/main.ts",
      'import { readFile } from "node:fs/promises"; import { readModel } from "../node/index.js"; ' +
        "console.log(Date.now());",
    ),
  ).toEqual([]);
  expect(violations("src/tensor/gpu/linear.kernel.ts", 'import { GPU } from "gpu.js";')).toEqual([]);
});
