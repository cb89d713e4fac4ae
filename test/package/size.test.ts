/** The bytes that an import of the package adds to a page, bundled, minified and gzipped. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "./support.js";

const dist = join(root, "dist");
let folder: string;
beforeAll(async () => {
  if (!existsSync(join(dist, "index.js"))) throw new Error("dist/index.js does not exist: npm run build");
  folder = await mkdtemp(join(dist, "size-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Size {
  /** Bytes of all that is loaded before the first line runs. */
  readonly initial: number;
  /** Bytes of the chunks that are loaded when they are needed. */
  readonly lazy: Readonly<Record<string, number>>;
  /** Source files of the initial part. */
  readonly modules: readonly string[];
}

async function sizeOf(name: string, code: string): Promise<Size> {
  const input = join(folder, `${name}.js`);
  await writeFile(input, code);
  const result = await build({
    configFile: false,
    logLevel: "error",
    root,
    build: {
      write: false,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: { input, preserveEntrySignatures: "strict", external: ["gpu.js", "webgpu"] },
    },
  });
  if (Array.isArray(result) || !("output" in result)) throw new Error("vite gave no single output");
  const chunks = result.output.filter((file) => file.type === "chunk");
  const initial = new Set<string>();
  const add = (file: string): void => {
    if (initial.has(file)) return;
    initial.add(file);
    chunks.find(({ fileName }) => fileName === file)?.imports.forEach(add);
  };
  add(chunks.find(({ isEntry }) => isEntry)!.fileName);
  const bytes = (code: string): number => gzipSync(code, { level: 9 }).length;
  return {
    initial: chunks.filter(({ fileName }) => initial.has(fileName)).reduce((sum, { code }) => sum + bytes(code), 0),
    lazy: Object.fromEntries(
      chunks.filter(({ fileName }) => !initial.has(fileName)).map(({ name, code }) => [name, bytes(code)]),
    ),
    modules: chunks
      .filter(({ fileName }) => initial.has(fileName))
      .flatMap(({ moduleIds }) => moduleIds.map((id) => id.replace(`${dist}/`, ""))),
  };
}

/** Modules that are loaded when they are needed, not when the library is imported. */
const LOADED_LATER = new RegExp(
  [
    "tensor/wasm/",
    "tensor/gpu/",
    "models/",
    "model/gguf/",
    "@huggingface",
    "calibrate/certificate/verify-(certificate|reality)",
    "calibrate/certify/",
    "calibrate/(paper|record/runs)/",
    "model/chat/run-template",
    "evaluate/run-task",
  ].join("|"),
);

const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

/** Prints the sizes, which are what this suite is about. */
function report(name: string, { initial, lazy }: Size): void {
  const later = Object.entries(lazy).map(([chunk, bytes]) => `later ${chunk} ${kB(bytes)}`);
  console.log([`${name}: ${kB(initial)}`, ...later].join(", "));
}

describe("minified and gzipped", () => {
  it(
    "the imports of the README's program are at most 53 kB, without kernels, gpu.js, a model or " +
      "@huggingface/tokenizers",
    async () => {
      const size = await sizeOf(
        "program",
        'export { attachHeads, calibrate, generate, splitDocuments, trainHeads } from "../index.js";',
      );
      report("the README's program", size);
      expect(size.initial).toBeLessThanOrEqual(53_000);
      expect(size.modules.filter((id) => LOADED_LATER.test(id))).toEqual([]);
    },
  );

  it("all of early-exits, every function of it, is at most 79.5 kB", async () => {
    const size = await sizeOf("everything", 'export * from "../index.js";');
    report("early-exits, everything", size);
    expect(size.initial).toBeLessThanOrEqual(79_500);
    expect(size.modules.filter((id) => LOADED_LATER.test(id))).toEqual([]);
  });

  it("one function brings only what it needs", async () => {
    const size = await sizeOf("one", 'export { wsrUpper } from "../calibrate/index.js";');
    report("wsrUpper alone", size);
    expect(size.initial).toBeLessThan(5000);
    expect(size.modules.filter((id) => /^(tensor|model|exits)\//.test(id))).toEqual([]);
  });

  it("a page that generates loads one build of the kernels, and only when it creates its device", async () => {
    const size = await sizeOf(
      "page",
      'export { generate } from "../index.js"; export { createDevice, readHeads, readModel, readPolicy } from ' +
        '"../browser/index.js";',
    );
    report("generate, createDevice, readModel, readHeads, readPolicy", size);
    // Eleven families, chats, all kinds of heads, audits, bounded patterns.
    expect(size.initial).toBeLessThanOrEqual(57_000);
    expect(Object.keys(size.lazy).sort()).toEqual(
      expect.arrayContaining(["portable.generated", "relaxed.generated", "wasm-device"]),
    );
    for (const build of ["portable.generated", "relaxed.generated"]) {
      expect(size.initial + size.lazy["wasm-device"]! + size.lazy[build]!).toBeLessThanOrEqual(106_000);
    }
  });
});
