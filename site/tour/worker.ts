/** Runs the cells of the tour off the page's own thread, one after another, with the library as the page ships it. */
import { type CellGlobals, cellProgram } from "./cell-program.js";
import type { FromCell, RunCell } from "./protocol.js";

const entries: Readonly<Record<string, () => Promise<object>>> = {
  "early-exits": () => import("early-exits"),
  "early-exits/browser": () => import("early-exits/browser"),
  "early-exits/calibrate": () => import("early-exits/calibrate"),
  "early-exits/evaluate": () => import("early-exits/evaluate"),
  "early-exits/exits": () => import("early-exits/exits"),
  "early-exits/model": () => import("early-exits/model"),
  "early-exits/risk": () => import("early-exits/risk"),
  "early-exits/tensor": () => import("early-exits/tensor"),
};

const scope: Record<string, unknown> = {};
const post = (message: FromCell): void => postMessage(message);

async function load(specifier: string): Promise<Readonly<Record<string, unknown>>> {
  const entry = entries[specifier];
  if (entry === undefined) {
    throw new Error(`a cell cannot import "${specifier}"; it can import ${Object.keys(entries).join(", ")}`);
  }
  return (await entry()) as Readonly<Record<string, unknown>>;
}

const spell = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value, undefined, 1));

/** The rows of `console.table`: a line of names, then a line for each object. */
function tableOf(data: unknown): string[][] {
  const rows = Object.values(data as object) as Readonly<Record<string, unknown>>[];
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return [columns, ...rows.map((row) => columns.map((column) => (column in row ? spell(row[column]) : "")))];
}

async function run({ code, site }: RunCell): Promise<void> {
  const cell: CellGlobals = {
    load,
    scope,
    site,
    console: {
      log: (...values: unknown[]) => post({ kind: "text", text: `${values.map(spell).join(" ")}\n` }),
      table: (data: unknown) => post({ kind: "table", rows: tableOf(data) }),
    },
    show: ({ text, depth }, numLayers) =>
      post({ kind: "token", text, share: 1 - depth / numLayers, note: `${depth} of ${numLayers} blocks` }),
  };
  Object.assign(globalThis, { cell });
  const blob = new Blob([cellProgram(code, Object.keys(scope))], { type: "text/javascript" });
  const url = URL.createObjectURL(blob);
  try {
    await import(/* @vite-ignore */ url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

onmessage = async ({ data }: MessageEvent<RunCell>) => {
  try {
    await run(data);
    post({ kind: "done" });
  } catch (error) {
    post({ kind: "failed", message: String(error) });
  }
};
