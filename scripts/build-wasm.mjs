/**
 * Compiles src/tensor/wasm/kernels/kernels.as.ts (AssemblyScript) into two WebAssembly modules:
 *   portable   SIMD with separate multiplication and addition: every engine since 2021
 *   relaxed    the same source with fused multiply-add (relaxed SIMD)
 * They are written as base64 text, each into a file of its own (src/tensor/wasm/kernels/*.generated.ts), so that Node,
 * browsers and bundlers need no file beside the code and load only the module that is used. Another file holds what
 * the compiler's declarations say about the exports: their types, and functions that take their arguments by name.
 *
 * Both modules import a shared memory. `memoryFlagAt` is the offset of the byte that says so: with that byte cleared, a
 * module takes a private memory, as a page without SharedArrayBuffer must (see wasm-device.ts). The script does nothing
 * if the output already belongs to these sources (compared by hash). `--force` builds anyway.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "src/tensor/wasm/kernels");
const targets = ["kernels", "portable", "relaxed"].map((name) => join(folder, `${name}.generated.ts`));

const OPTIONS = [
  "--outFile kernels.wasm --bindings raw --runtime stub",
  "-O3 --noAssert --disableWarning 112 --disableWarning 201", // 201: addresses stay 32 bits wide
  "--importMemory --sharedMemory --initialMemory 1 --maximumMemory 65536",
];
/** A kernel with more parameters takes them by name. */
const MOST_BY_POSITION = 4;

const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll(sep, "/"))
  .filter((name) => name.endsWith(".as.ts") || name === "constants.ts")
  .sort();
const hash = createHash("sha256");
for (const name of files) hash.update(name).update(readFileSync(join(folder, name)));
hash.update(readFileSync(fileURLToPath(import.meta.url)));
const digest = hash.digest("hex").slice(0, 16);

if (!isMainThread) {
  parentPort.postMessage(await compile(workerData));
  process.exit();
}

const current = (target) => existsSync(target) && readFileSync(target, "utf8").startsWith(`// sources ${digest}\n`);
if (!process.argv.includes("--force") && targets.every(current)) process.exit(0);

const [portable, relaxed] = await Promise.all(["simd,threads", "simd,threads,relaxed-simd"].map(compileApart));
write(targets[0], interfaceText(exportsOf(portable.types)));
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

/** Compiles in a thread of its own: both modules at the same time. */
async function compileApart(workerData) {
  const [compiled] = await once(new Worker(new URL(import.meta.url), { workerData }), "message");
  return compiled;
}

async function compile(features) {
  const { default: asc } = await import("assemblyscript/asc");
  const written = new Map();
  const { error, stderr } = await asc.main(
    ["kernels.as.ts", ...OPTIONS.flatMap((line) => line.split(" ")), "--enable", features],
    {
      readFile: (name) => (files.includes(name) ? readFileSync(join(folder, name), "utf8") : null),
      writeFile: (name, contents) => void written.set(name, contents),
      listFiles: () => [],
    },
  );
  const messages = stderr.toString().trim();
  if (messages) console.error(messages);
  if (error) throw error;
  const binary = written.get("kernels.wasm");
  return {
    bytes: binary.length,
    base64: Buffer.from(binary).toString("base64"),
    memoryFlagAt: findMemoryFlag(binary),
    types: written.get("kernels.d.ts"),
  };
}

/** The exports in the compiler's declarations, `export function name(a: number, b: number): void;`. */
function exportsOf(declarations) {
  return [...declarations.matchAll(/export function (\w+)\(([^)]*)\): ([^;]+);/g)].map(([, name, list, result]) => {
    const parameters = list === "" ? [] : list.split(", ").map((parameter) => parameter.split(": ")[0]);
    const ranged = parameters.at(-2) === "begin" && parameters.at(-1) === "end";
    const named = ranged ? parameters.slice(0, -2) : parameters;
    return { name, parameters, named, ranged, byName: parameters.length > MOST_BY_POSITION, result };
  });
}

/** kernels.generated.ts: the exports as they are, and as the host code calls them. */
function interfaceText(kernels) {
  const numbers = (names) => names.map((name) => `${name}: number`).join(", ");
  const byName = kernels.filter((kernel) => kernel.byName);
  const range = ({ ranged }) => (ranged ? ", begin, end" : "");
  return [
    "/** A compiled module: base64 text, and the offset of the byte that says whether its memory is shared. */",
    "export interface CompiledKernels {",
    "  readonly base64: string;",
    "  readonly memoryFlagAt: number;",
    "}",
    "",
    "/** Exports of both modules. Addresses and sizes are numbers. */",
    "export interface KernelExports {",
    ...kernels.map(({ name, parameters, result }) => `  readonly ${name}: (${numbers(parameters)}) => ${result};`),
    "}",
    "",
    "/** The arguments of the kernels that are called by name, without the range of items. */",
    "export interface KernelArguments {",
    ...byName.map(({ name, named }) => `  readonly ${name}: { ${numbers(named)} };`),
    "}",
    "",
    "/** The same names in the order of the kernel's parameters, for the kernels that end with a range of items. */",
    "export const PARAMETERS = {",
    ...byName.filter(({ ranged }) => ranged).map(({ name, named }) => `  ${name}: ${JSON.stringify(named)},`),
    "} as const;",
    "",
    `/** The kernels as host code calls them: up to ${MOST_BY_POSITION} numbers by position, more by name. */`,
    "export interface NamedKernels {",
    ...kernels.map(({ name, named, ranged, byName, result }) => {
      const given = byName ? `given: KernelArguments["${name}"]` : numbers(named);
      return `  readonly ${name}: (${given}${ranged ? `, ${numbers(["begin", "end"])}` : ""}) => ${result};`;
    }),
    "}",
    "",
    "/** Turns calls by name into calls by position. */",
    "export function callByName(wasm: KernelExports): NamedKernels {",
    "  return {",
    ...kernels.map((kernel) => {
      const { name, named, byName } = kernel;
      if (!byName) return `    ${name}: wasm.${name},`;
      const given = named.map((parameter) => `given.${parameter}`).join(", ");
      return `    ${name}: (given${range(kernel)}) => wasm.${name}(${given}${range(kernel)}),`;
    }),
    "  };",
    "}",
  ];
}

/** Offset of the limits flag of the imported memory (0x03: shared, with a maximum; 0x01: private, with a maximum). */
function findMemoryFlag(binary) {
  const entry = "\x03env\x06memory\x02"; // the lengths and names of module and field, and the kind
  const found = Buffer.from(binary).indexOf(entry, "latin1");
  const at = found + entry.length;
  if (found < 0 || binary[at] !== 3) throw new Error("build-wasm: expected a shared memory with a maximum");
  return at;
}
