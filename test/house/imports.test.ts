/**
 * Imports run one way (see LAYERS); no file imports itself in a circle, AssemblyScript included; gpu.js stays in
 * tensor/gpu, `node:*` in node and the programs; the core neither prints nor reads the clock or Math.random. Programs
 * use the library as a stranger would: by the package's name. The library needs none of their packages.
 */
import { describe, expect, test } from "vitest";
import { importsOf, readSource, repositoryFiles, resolveImport, withoutComments } from "./source-files.js";

/** A file may import from its own layer and from those before it. */
const LAYERS = [
  "src/cancel-signal.ts",
  "src/turns.ts",
  "src/errors.ts",
  "src/shown.ts",
  "src/known.ts",
  "src/budgets.ts",
  "src/version.ts",
  "src/tensor/",
  "src/risk/",
  "src/model/",
  "src/exits/",
  "src/calibrate/",
  "src/evaluate/",
  "src/index.ts",
  "src/browser/",
  "src/node/",
  "apps/serve/",
  "apps/export/",
  "apps/cli/",
  "lab/",
  "bench/",
  "examples/",
];
/** Within src/exits and src/calibrate too: a room imports from rooms before it. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  "src/exits/": ["heads/", "fill/", "cost/", "plan/", "decode/", "draft/", "states/", "train/", ""],
  "src/calibrate/": [
    "procedures/",
    "record/",
    "audit/",
    "certificate/",
    "recompute/",
    "certify/",
    "verify/",
    "paper/",
    "",
  ],
};
const layerOf = (path: string) => LAYERS.findIndex((layer) => path.startsWith(layer));
const NODE = layerOf("src/node/");
const isApp = (path: string): boolean => path.startsWith("apps/");
/** Entries of the library; those of programs are not for programs. */
const ENTRIES = /^early-exits(\/(tensor|risk|model|exits|calibrate|evaluate|node))?$/;
/** Packages of the command line and of the server. */
const OF_APPS = /^(commander|hono|zod|prom-client|@hono\/[^/]+)(\/|$)/;
const FORBIDDEN = /\bMath\s*\.\s*random\b|\bDate\s*\.\s*now\b|\bnew\s+Date\b|\bconsole\b/g;

/** Offences of a file (path from the root, with slashes) against the rules. */
function violations(path: string, source: string) {
  const layer = layerOf(path);
  if (layer < 0) return [`${path} belongs to no layer`];
  const problems: string[] = [];
  for (const specifier of importsOf(source)) {
    const says = (problem: string): void => void problems.push(`${path} ${problem} ${specifier}`);
    if (specifier === "gpu.js" && !path.startsWith("src/tensor/gpu/")) says("imports");
    if (specifier.startsWith("node:") && layer < NODE) says("imports");
    if (path.startsWith("src/") && (OF_APPS.test(specifier) || specifier.startsWith("early-exits"))) says("imports");
    if (isApp(path) && specifier.startsWith("early-exits") && !ENTRIES.test(specifier)) says("imports");
    if (!specifier.startsWith(".")) continue;
    const target = resolveImport(path, specifier);
    const reachesBehind = isApp(path) && !isApp(target);
    if (layerOf(target) > layer || reachesBehind || breaksRoomOrder(path, target)) says("imports");
  }
  if (layer < NODE) {
    const uses = withoutComments(source).matchAll(FORBIDDEN);
    problems.push(...Array.from(uses, ([word]) => `${path} uses ${word}`));
  }
  return problems;
}

function breaksRoomOrder(path: string, target: string) {
  return Object.entries(ROOMS).some(([layer, rooms]) => {
    if (!path.startsWith(layer) || !target.startsWith(layer)) return false;
    const roomOf = (file: string) => rooms.findIndex((room) => file.startsWith(layer + room));
    return roomOf(target) > roomOf(path);
  });
}

const files = repositoryFiles("src/*.ts", "apps/*.ts", "lab/*.ts", "bench/*.ts", "examples/*.ts").filter(
  (path) => !path.startsWith("bench/peers/"),
);

test("every file keeps the rules", () => {
  expect(files.length).toBeGreaterThan(150);
  expect(files.flatMap((path) => violations(path, readSource(path)))).toEqual([]);
});

test.for([
  ["src/tensor/ops/rope.ts", 'import { rotary } from "../../model/index.js";', "imports ../../model/index.js"],
  ["src/errors.ts", 'import type { Tensor } from "./tensor/index.js";', "imports ./tensor/index.js"],
  [
    "src/model/decode/generate.ts",
    'export {\n  a,\n  b,\n} from "../../exits/index.js";',
    "imports ../../exits/index.js",
  ],
  [
    "src/exits/plan/policy.ts",
    'const late = await import("../../calibrate/index.js");',
    "imports ../../calibrate/index.js",
  ],
  ["src/exits/heads/score.ts", 'import { fills } from "../fill/index.js";', "imports ../fill/index.js"],
  ["src/calibrate/certify/certify.ts", 'import { version } from "../../index.js";', "imports ../../index.js"],
  ["src/index.ts", 'export * from "./node/index.js";', "imports ./node/index.js"],
  ["src/tensor/device.ts", 'import { GPU } from "gpu.js";', "imports gpu.js"],
  ["src/tensor/wasm/loader.ts", 'import "node:worker_threads";', "imports node:worker_threads"],
  ["src/model/decode/sampling.ts", "const u = Math.random(); // no", "uses Math.random"],
  ["src/exits/train/train-heads.ts", "const t = Date.now();", "uses Date.now"],
  ["src/exits/train/train-heads.ts", 'const url = "https://x"; console.log(url);', "uses console"],
  ["src/browser/host.ts", 'import { nodeHost } from "../node/index.js";', "imports ../node/index.js"],
  ["src/other/new.ts", "", "belongs to no layer"],
  ["src/node/server.ts", 'import { serve } from "@hono/node-server";', "imports @hono/node-server"],
  ["src/node/limit.ts", 'const late = await import("hono/body-limit");', "imports hono/body-limit"],
  ["src/node/host.ts", 'import { exportOnnx } from "early-exits/export";', "imports early-exits/export"],
  [
    "apps/serve/batcher.ts",
    'import type { Model } from "../../src/model/index.js";',
    "imports ../../src/model/index.js",
  ],
  ["apps/serve/batcher.ts", 'import { embedded } from "../cli/demo/demo.js";', "imports ../cli/demo/demo.js"],
  ["apps/export/heads.ts", 'import "early-exits/src/model";', "imports early-exits/src/model"],
])("%s with %s breaks a rule", ([path, source, problem]) =>
  expect(violations(path!, source!)).toEqual([`${path} ${problem}`]),
);

test.for([
  [
    "src/exits/decode/decode.ts",
    'import { scope } from "../../tensor/index.js"; // console, Date.now\n/* Math.random */',
  ],
  [
    "apps/cli/main.ts",
    'import "node:fs/promises"; import { readModel } from "early-exits/node"; console.log(Date.now());',
  ],
])("%s with %s is allowed", ([path, source]) => expect(violations(path!, source!)).toEqual([]));

describe("circles", () => {
  /** A circle of imports, types included, as the paths it passes; undefined if there is none. */
  function findCircle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
    const done = new Set<string>();
    const visit = (paths: Iterable<string>, trail: readonly string[]): readonly string[] | undefined => {
      for (const path of paths) {
        if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
        const circle = done.has(path) ? undefined : visit(graph.get(path) ?? [], [...trail, path]);
        if (circle !== undefined) return circle;
        done.add(path);
      }
      return undefined;
    };
    return visit(graph.keys(), []);
  }

  test("there are none, dynamic imports and doors included", () => {
    const relative = (path: string) =>
      importsOf(readSource(path))
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => resolveImport(path, specifier));
    expect(files.filter((path) => path.endsWith(".as.ts")).flatMap(relative)).toContain(
      "src/tensor/wasm/kernels/products/layout.as.ts",
    );
    expect(findCircle(new Map(files.map((path) => [path, relative(path)])))).toBeUndefined();
  });

  test("one is found, and named", () => {
    const graph = new Map([
      ["a", ["b"]],
      ["b", ["c", "d"]],
      ["c", []],
      ["d", ["b"]],
    ]);
    expect(findCircle(graph)).toEqual(["b", "d", "b"]);
  });
});
