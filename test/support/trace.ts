/**
 * Traces calls: at every call of given functions, the functions that are waiting for it, innermost first, with the
 * source files that they are in. Conditions of breakpoints do it, which never stop the program.
 */
import { existsSync, readFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export interface Frame {
  /** Relative to the repository. */
  readonly file: string;
  /** "" if it has no name. */
  readonly name: string;
}

export type Trace = readonly Frame[];

type Callable = (...args: never[]) => unknown;

export function methodOf({ prototype }: { readonly prototype: object }, name: string) {
  return Object.getOwnPropertyDescriptor(prototype, name)!.value as Callable;
}

/** Runs `body` and returns the traces of all calls of `stations` meanwhile. */
export async function traceCalls(stations: readonly Callable[], body: () => unknown) {
  const stacks: string[] = [];
  const global = globalThis as { traced?: { stations: readonly Callable[]; note(stack: string): void } };
  global.traced = { stations, note: (stack) => void stacks.push(stack) };
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 200;
  const session = new Session();
  session.connect();
  session.post("Debugger.enable");
  try {
    for (const index of stations.keys()) {
      session.post("Runtime.evaluate", { expression: `traced.stations[${index}]` }, (_, { result: { objectId } }) => {
        const condition = "traced.note(new Error().stack)";
        session.post("Debugger.setBreakpointOnFunctionCall", { objectId, condition });
      });
    }
    await body();
  } finally {
    session.disconnect();
    Error.stackTraceLimit = limit;
    delete global.traced;
  }
  return stacks.map(framesOf);
}

const FRAME = /^\s+at (?:async )?(?:(.*) \()?(?:file:\/\/)?(\/[^():?]+)[^()]*\)?$/gm;

function framesOf(stack: string) {
  return Array.from(stack.matchAll(FRAME), ([, name = "", path]) => ({
    name: name.replace(/ \[as .*\]$|^<anonymous>$/, ""),
    file: relative(process.cwd(), path!),
  }));
}

/** Parts of AssemblyScript, imported by variables: its own declarations change those of JavaScript. */
const COMPILER: string = "assemblyscript/asc";
const BINARYEN: string = "assemblyscript/binaryen";
interface Compiler {
  main(line: readonly string[], io: Readonly<Record<string, unknown>>): Promise<{ readonly error: Error | null }>;
}
interface Binaryen {
  readBinary(bytes: Uint8Array): { runPasses(names: readonly string[]): void; emitBinary(): Uint8Array };
}

/** Its frames in a stack have the names of functions, with the file that each is in. */
const KERNEL_FRAME = /^\s+at ([\w/.-]+\.as)\/(\S+) \(wasm:/gm;
const kernels = fileURLToPath(new URL("../../src/tensor/wasm/kernels", import.meta.url));

/** Traces calls of a kernel's function while a product of one row runs, by a build that tells of every call. */
export async function traceKernel(station: string) {
  const { default: asc } = (await import(COMPILER)) as { readonly default: Compiler };
  const { default: binaryen } = (await import(BINARYEN)) as { readonly default: Binaryen };
  let built: Uint8Array;
  const flags = "--outFile kernels.wasm --runtime stub --noAssert --debug --disableWarning 112 --importMemory";
  const limits = "--sharedMemory --initialMemory 1 --maximumMemory 65536 --enable simd,threads";
  const { error } = await asc.main(`products/products.as.ts ${flags} ${limits}`.split(" "), {
    readFile: (name: string) => (existsSync(join(kernels, name)) ? readFileSync(join(kernels, name), "utf8") : null),
    writeFile: (name: string, contents: Uint8Array) => {
      if (name.endsWith(".wasm")) built = contents;
    },
    listFiles: () => [],
  });
  if (error !== null) throw error;
  const compiled = binaryen.readBinary(built!);
  compiled.runPasses(["log-execution"]);
  const traces: Trace[] = [];
  const log_execution = () => {
    const { stack = "" } = new Error();
    const frames = Array.from(stack.matchAll(KERNEL_FRAME), ([, file, name]) => ({
      file: `src/tensor/wasm/kernels/${file!}.ts`,
      name: name!,
    }));
    if (frames[0]?.name === station) traces.push(frames);
  };
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const module = await WebAssembly.compile(compiled.emitBinary() as Uint8Array<ArrayBuffer>);
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, log_execution } });
  const [w, x, y] = [4096, 1024, 2048];
  (exports as Record<string, (...args: number[]) => void>)["linear"]!(0, w, x, y, 0, 0, 1, 32, 8, 0, 1, 0, 2);
  return traces;
}
