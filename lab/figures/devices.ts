/**
 * From bench/reports/inference.json: decoding speed of one thread by weight type, and the cost of several rows at once.
 */
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { readJson } from "early-exits/node";
import type { Machine } from "../report/machine.js";
import { reportsFolder } from "../report/script.js";
import type { Timing } from "../speed/timing.js";
import { colors, frame } from "./frame.js";

interface Inference {
  readonly machine: Machine;
  readonly data: {
    readonly limits: { readonly read: number };
    readonly runs: readonly {
      readonly shape: string;
      readonly dtype: string;
      readonly threads: number;
      readonly decode: Timing;
      readonly weightBytes: number;
    }[];
    readonly kernels: readonly { readonly name: string; readonly threads: number; readonly perRow?: number }[];
  };
}

const DTYPES = [
  { label: "float32", color: colors.blue },
  { label: "bfloat16", color: colors.orange },
  { label: "int8", color: colors.green },
] as const;
const PLACES = [
  { place: "out of cache", dash: "" },
  { place: "in cache", dash: "5 3" },
] as const;

export async function devices(): Promise<string> {
  const {
    machine,
    data: { limits, runs, kernels },
  } = (await readJson(join(reportsFolder, "inference.json"))) as Inference;
  const decoding = runs
    .filter(({ threads }) => threads === 1)
    .map(({ shape, dtype, decode, weightBytes }) => ({
      shape,
      dtype,
      color: DTYPES.find(({ label }) => label === dtype)!.color,
      speed: 1000 / decode.median,
      bound: (1e9 * limits.read) / weightBytes,
    }));
  const rows = DTYPES.flatMap(({ label, color }) =>
    PLACES.map(({ place, dash }) => ({
      color,
      dash,
      points: kernels.flatMap(({ name, threads, perRow }) => {
        const count = new RegExp(`^linear ${label} ${place} .* (\\d+) rows$`).exec(name)?.[1];
        return count === undefined || threads > 1 || Number(count) > 8
          ? []
          : [{ rows: Number(count), cost: perRow! * Number(count) }];
      }),
    })),
  );
  return frame({
    title: "Decoding is mostly reading weights; several rows at once read them once",
    legend: DTYPES,
    machine,
    height: 280,
    run:
      "random weights, batch 1, medians, one thread; vertical lines: what reading the weights alone would allow; " +
      "rows: products 512 x 49152 (out of cache) and 512 x 384 (in cache, dashed); bench/reports/inference.json",
    panels: [
      {
        title: "decoding, tokens per second",
        plot: {
          marginLeft: 96,
          marginBottom: 36,
          fy: { label: null, padding: 0.2 },
          y: { axis: null, domain: DTYPES.map(({ label }) => label) },
          x: { label: null, grid: true },
          facet: { marginLeft: 96 },
          marks: [
            Plot.barX(decoding, { fy: "shape", y: "dtype", x: "speed", fill: "color" }),
            Plot.tickX(decoding, { fy: "shape", y: "dtype", x: "bound", strokeWidth: 2 }),
          ],
        },
      },
      {
        title: "time of k rows, one row = 1",
        plot: {
          marginLeft: 32,
          marginBottom: 36,
          x: { label: "rows at once", ticks: [1, 2, 4, 8], tickFormat: "d" },
          y: { label: null, grid: true, domain: [0, 8] },
          marks: [
            Plot.line(
              [
                [1, 1],
                [8, 8],
              ],
              { strokeDasharray: "1 3" },
            ),
            ...rows.map(({ points, color, dash }) =>
              Plot.lineY(points, { x: "rows", y: "cost", stroke: color, strokeWidth: 2, strokeDasharray: dash }),
            ),
          ],
        },
      },
    ],
  });
}
