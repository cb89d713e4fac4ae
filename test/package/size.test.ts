/** The bytes that an import of the package adds to a page, bundled, minified and gzipped. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { describe, expect, it } from "vitest";
import { scratch } from "../support/scratch.js";
import { root } from "./support.js";

const dist = join(root, "dist");
if (!existsSync(join(dist, "index.js"))) throw new Error("dist/index.js does not exist: npm run build");
const folder = scratch(join(dist, "size-"));

/**
 * Bytes of all that a program loads before its first line runs, `initial`, and of the chunks that are loaded when they
 * are needed, `lazy`, which it prints: they are what this suite is about. And the source files of the initial part.
 */
async function sizeOf(name: string, code: string) {
  const input = folder.path("program.js");
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
  const add = (file: string) => {
    if (initial.has(file)) return;
    initial.add(file);
    chunks.find(({ fileName }) => fileName === file)?.imports.forEach(add);
  };
  add(chunks.find(({ isEntry }) => isEntry)!.fileName);
  const bytes = (code: string) => gzipSync(code, { level: 9 }).length;
  const [first, later] = [true, false].map((when) => chunks.filter(({ fileName }) => initial.has(fileName) === when));
  const size = first!.reduce((sum, { code }) => sum + bytes(code), 0);
  const lazy = Object.fromEntries(later!.map(({ name, code }) => [name, bytes(code)]));
  const parts = Object.entries(lazy).map(([chunk, bytes]) => `later ${chunk} ${kB(bytes)}`);
  console.log([`${name}: ${kB(size)}`, ...parts].join(", "));
  const modules = first!.flatMap(({ moduleIds }) => moduleIds.map((id) => id.replace(`${dist}/`, "")));
  return { initial: size, lazy, modules };
}

/** Modules that are loaded when they are needed, not when the library is imported. */
const LOADED_LATER = new RegExp(
  [
    "tensor/wasm/",
    "tensor/gpu/",
    "models/",
    "model/gguf/",
    "@huggingface",
    "calibrate/certify/",
    "calibrate/recompute/verify-",
    "calibrate/verify/(against|check)-",
    "calibrate/(paper|record/runs)/",
    "model/chat/run-template",
    "evaluate/run-task",
  ].join("|"),
);

const kB = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;

describe("minified and gzipped", () => {
  // + 180 and + 30: options that do not exist are refused
  it.each([
    ["training, calibrating, generating", 61_440, "{ attachHeads, calibrate, generate, splitDocuments, trainHeads }"],
    ["every function of early-exits", 90_580, "*"],
  ])("%s import at most %i bytes, and nothing that is loaded later", async (name, most, names) => {
    const size = await sizeOf(name, `export ${names} from "../index.js";`);
    expect(size.initial).toBeLessThanOrEqual(most);
    expect(size.modules.filter((id) => LOADED_LATER.test(id))).toEqual([]);
  });

  it("early-exits/risk is at most 10 kB, without models or devices; one function brings less", async () => {
    const size = await sizeOf("early-exits/risk, everything", 'export * from "../risk/index.js";');
    expect(size.initial).toBeLessThanOrEqual(10_000);
    expect(
      size.modules.filter((id) => !/^(size-|risk\/|errors\.js|shown\.js|known\.js|tensor\/rng\.js)/.test(id)),
    ).toEqual([]);
    const one = await sizeOf("bettingBound alone", 'export { bettingBound } from "../risk/index.js";');
    expect(one.initial).toBeLessThan(3000);
  });

  it("a page that generates loads one build of the kernels, and only when it creates its device", async () => {
    const size = await sizeOf(
      "generate, createDevice, readModel, readHeads, readPolicy",
      'export { generate } from "../index.js"; export { createDevice, readHeads, readModel, readPolicy } from ' +
        '"../browser/index.js";',
    );
    // Eleven families, chats, all kinds of heads, audits, bounded patterns.
    expect(size.initial).toBeLessThanOrEqual(63_400);
    expect(Object.keys(size.lazy).sort()).toEqual(
      expect.arrayContaining(["portable.generated", "relaxed.generated", "wasm-device"]),
    );
    // Of these, a kilobyte rounds weights: files load in half the time.
    for (const build of ["portable.generated", "relaxed.generated"]) {
      expect(size.initial + size.lazy["wasm-device"]! + size.lazy[build]!).toBeLessThanOrEqual(118_650);
    }
  });
});
