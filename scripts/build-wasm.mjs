/**
 * Compiles src/tensor/wasm/kernels/kernels.as.ts (AssemblyScript) into two WebAssembly modules as base64 text, so that Node,
 * browsers and bundlers need no file beside the code, each in a file of its own (src/tensor/wasm/kernels/*.generated.ts), so
 * that only the one that is used is loaded; and the types of their exports, read from the compiler.
 *   portable   SIMD with separate multiplication and addition: every engine since 2021
 *   relaxed    the same source with fused multiply-add (relaxed SIMD)
 * Both import a shared memory. `memoryFlagAt` is the place of the one byte that says so: cleared, the module takes a
 * private memory, which is what a page without SharedArrayBuffer has (see module.ts). Does nothing where the output is
 * newer than its sources by content (a hash). `--force` builds anyway, `--text` also prints sizes.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "src/tensor/wasm/kernels");
const targets = ["kernels", "portable", "relaxed"].map((name) => join(folder, `${name}.generated.ts`));

const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll(sep, "/"))
  .filter((name) => name.endsWith(".as.ts"))
  .sort();
const hash = createHash("sha256");
for (const name of files) hash.update(name).update(readFileSync(join(folder, name)));
hash.update(readFileSync(fileURLToPath(import.meta.url)));
const digest = hash.digest("hex").slice(0, 16);

const current = (target) => existsSync(target) && readFileSync(target, "utf8").startsWith(`// sources ${digest}\n`);
if (!process.argv.includes("--force") && targets.every(current)) process.exit(0);

const { default: asc } = await import("assemblyscript/asc");
const portable = await compile(["--enable", "simd,threads"]);
const relaxed = await compile(["--enable", "simd,threads,relaxed-simd"]);
write(targets[0], [
  "/** A compiled module: base64 text, and the byte that says whether its memory is shared. */",
  "export interface CompiledKernels { readonly base64: string; readonly memoryFlagAt: number }",
  "",
  "/** What both modules export. Addresses and sizes are numbers. */",
  "export interface KernelExports {",
  ...signatures(portable.types),
  "}",
]);
write(targets[1], moduleText("portable", portable));
write(targets[2], moduleText("relaxed", relaxed));
console.error(`kernels: ${portable.bytes} bytes portable, ${relaxed.bytes} relaxed`);

function write(target, lines) {
  writeFileSync(
    target,
    [
      `// sources ${digest}`,
      "// Made by scripts/build-wasm.mjs from kernels.as.ts; do not edit.",
      "",
      ...lines,
      "",
    ].join("\n"),
  );
}

function moduleText(name, { memoryFlagAt, base64 }) {
  return [
    'import type { CompiledKernels } from "./kernels.generated.js";',
    "",
    `export const ${name}: CompiledKernels = { memoryFlagAt: ${memoryFlagAt}, base64: "${base64}" };`,
  ];
}

async function compile(features) {
  const written = new Map();
  const { error, stderr } = await asc.main(
    [
      "kernels.as.ts",
      "--outFile",
      "kernels.wasm",
      "--bindings",
      "raw",
      "-O3",
      "--noAssert",
      "--runtime",
      "stub",
      "--importMemory",
      "--sharedMemory",
      "--initialMemory",
      "1",
      "--maximumMemory",
      "65536",
      "--disableWarning",
      "112",
      ...features,
    ],
    {
      readFile: (name) =>
        name.endsWith(".ts") && files.includes(name) ? readFileSync(join(folder, name), "utf8") : null,
      writeFile: (name, contents) => void written.set(name, contents),
      listFiles: () => [],
    },
  );
  const messages = stderr.toString();
  if (messages.trim() !== "") console.error(messages);
  if (error) throw error;
  const binary = written.get("kernels.wasm");
  return {
    bytes: binary.length,
    base64: Buffer.from(binary).toString("base64"),
    memoryFlagAt: findMemoryFlag(binary),
    types: written.get("kernels.d.ts"),
  };
}

/** `export function name(a: number): void;` of the compiler's declarations, as members of an interface. */
function signatures(declarations) {
  return [...declarations.matchAll(/export function (\w+)(\([^)]*\)): ([^;]+);/g)].map(
    ([, name, parameters, result]) => `  readonly ${name}: ${parameters} => ${result};`,
  );
}

/** Offset of the limits flag of the imported memory (0x03: shared, with a maximum; 0x01: private, with a maximum). */
function findMemoryFlag(binary) {
  let at = 8;
  const unsigned = () => {
    let value = 0;
    let shift = 0;
    for (;;) {
      const byte = binary[at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
      shift += 7;
    }
  };
  while (at < binary.length) {
    const section = binary[at++];
    const end = unsigned() + at;
    if (section === 2) {
      for (let imports = unsigned(); imports > 0; imports--) {
        at = unsigned() + at; // past the module's name: the call comes first, `at` is read after it
        at = unsigned() + at; // past the field's name
        if (binary[at++] !== 2) throw new Error("build-wasm: expected the memory as the only import");
        if (binary[at] !== 3) throw new Error("build-wasm: expected a shared memory with a maximum");
        return at;
      }
    }
    at = end;
  }
  throw new Error("build-wasm: no memory import found");
}
