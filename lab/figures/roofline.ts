/**
 * From bench/reports/llm-shapes-zen-4-processor.json: products per second in decoding and in prompts, beside what
 * memory and arithmetic allow.
 */
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import * as d3 from "d3-array";
import { readJson } from "early-exits/node";
import type { Machine } from "../report/machine.js";
import { reportsFolder } from "../report/script.js";
import { colors, frame } from "./frame.js";

/** bench/peers/llm/protocol.ts */
interface Timing {
  readonly decode: number;
  readonly prefill: readonly number[];
  readonly weights: number;
  readonly perToken: number;
  readonly products: number;
}

interface Shapes {
  readonly machine: Machine;
  readonly data: {
    readonly pairs: readonly {
      readonly shape: string;
      readonly type: string;
      readonly context: number;
      readonly rounds: readonly { readonly ours: Timing; readonly limits: Record<"read" | "products", number> }[];
    }[];
  };
}

const SHAPES = [
  { shape: "135m", hidden: 576, label: "135 M", color: colors.blue },
  { shape: "360m", hidden: 960, label: "360 M", color: colors.orange },
  { shape: "1.7b", hidden: 2048, label: "1.7 B", color: colors.green },
] as const;
const VOCABULARY = 49_152;
/** Tokens decoded after a prompt: bench/peers/llm/protocol.ts. */
const DECODED = 64;
/** Rows of a prompt that read a panel together: src/tensor/wasm/products.ts. */
const MOST_ROWS = 128;

export async function roofline(): Promise<string> {
  const { machine, data } = (await readJson(join(reportsFolder, "llm-shapes-zen-4-processor.json"))) as Shapes;
  const limits = data.pairs.flatMap(({ rounds }) => rounds.map((round) => round.limits));
  const read = d3.median(limits, (limit) => limit.read)! / 1e9;
  const peak = d3.median(limits, (limit) => limit.products)! / 1e9;
  const points = data.pairs
    .filter(({ context }) => context <= 1064)
    .flatMap(({ shape, type, context, rounds }) => {
      const { hidden, color } = SHAPES.find((one) => one.shape === shape)!;
      const looks = { stroke: color, fill: type === "q8_0" ? color : "none" };
      const ours = rounds.map((round) => round.ours);
      const { weights, products, perToken } = ours[0]!;
      const all = products + hidden * VOCABULARY;
      const rows = context - DECODED;
      return [
        {
          ...looks,
          perByte: all / (weights + perToken * (context - DECODED / 2)),
          speed: (d3.median(ours, ({ decode }) => (DECODED * all) / decode)! * 1000) / 1e9,
        },
        {
          ...looks,
          perByte: (Math.min(rows, MOST_ROWS) * all) / weights,
          speed: (d3.median(ours, ({ prefill }) => (rows * products) / prefill[0]!)! * 1000) / 1e9,
        },
      ];
    });
  const roof = [0.25, peak / read, 512].map((perByte) => ({ perByte, speed: Math.min(peak, perByte * read) }));
  return frame({
    title: "Decoding waits for memory, prompts for arithmetic",
    legend: SHAPES,
    machine,
    run:
      "random weights in the shapes of SmolLM2, texts of 128 to 1,064 tokens: decoding (left) and prompts (right), " +
      "int8 (filled) and int4; line: what the run measured as one process's reading and one thread's products; " +
      "bench/reports/llm-shapes-zen-4-processor.json",
    panels: [
      {
        plot: {
          marginLeft: 40,
          marginBottom: 40,
          x: { type: "log", label: "products per byte that is read", tickFormat: "~f", grid: true },
          y: {
            type: "log",
            label: "10^9 products per second",
            domain: [5, 80],
            ticks: [5, 10, 20, 40, 80],
            grid: true,
          },
          marks: [
            Plot.line(roof, { x: "perByte", y: "speed", strokeWidth: 2 }),
            Plot.dot(points, { x: "perByte", y: "speed", fill: "fill", stroke: "stroke", strokeWidth: 2, r: 4 }),
          ],
        },
      },
    ],
  });
}
