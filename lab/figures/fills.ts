/**
 * From bench/reports/fills.json, sotu-6: half of the tokens leave early. How many of the others keep their argmax, and
 * what is saved, by the way in which keys and values are filled.
 */
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { readJson } from "early-exits/node";
import type { Machine } from "../report/machine.js";
import { reportsFolder } from "../report/script.js";
import { colors, frame } from "./frame.js";

interface Row {
  readonly model: string;
  readonly depth: number;
  readonly fill: string;
  readonly kept: number;
  readonly decode: { readonly multiplyAdds: number; readonly weightBytes: number };
  readonly plain: { readonly multiplyAdds: number; readonly weightBytes: number };
}

const FILLS = [
  { fill: "lazy", label: "lazy (exact)", color: colors.gray },
  { fill: "project", label: "project", color: colors.blue },
] as const;

export async function fillsChart(): Promise<string> {
  const { machine, data } = (await readJson(join(reportsFolder, "fills.json"))) as {
    readonly machine: Machine;
    readonly data: readonly Row[];
  };
  const points = data
    .filter(({ model }) => model === "sotu-6")
    .flatMap(({ fill, depth, kept, decode, plain }) => {
      const shown = FILLS.find((one) => one.fill === fill);
      return shown === undefined
        ? []
        : [
            {
              color: shown.color,
              label: `depth ${depth}`,
              kept: 100 * kept,
              multiplyAdds: (100 * decode.multiplyAdds) / plain.multiplyAdds,
              weightBytes: (100 * decode.weightBytes) / plain.weightBytes,
            },
          ];
    });
  /** One label for dots on top of each other. */
  const labels = (x: "multiplyAdds" | "weightBytes") =>
    points.flatMap((point, i) => {
      const near = points.filter(
        (other) => other.color === point.color && Math.hypot(other[x] - point[x], other.kept - point.kept) < 2,
      );
      return points.indexOf(near[0]!) < i ? [] : [{ ...point, label: near.map(({ label }) => label).join(", ") }];
    });
  const panel = (x: "multiplyAdds" | "weightBytes", label: string) => ({
    plot: {
      marginLeft: 38,
      marginRight: 20,
      x: { label, domain: [60, 100] as const, grid: true },
      y: { label: "others that keep their token, %", domain: [82, 101] as const, grid: true },
      marks: [
        Plot.dot(points, { x, y: "kept", fill: "color", r: 5 }),
        Plot.text(labels(x), { x, y: "kept", text: "label", dy: -11 }),
      ],
    },
  });
  return frame({
    title: "Exact keys and values save reading weights; approximate ones save arithmetic too, and change other tokens",
    legend: FILLS,
    machine,
    device: "device wasm, 1 thread",
    run:
      "sotu-6, held-out text; half of the positions, drawn at random, leave at depth 2 or 4, no heads evaluated; " +
      "bench/reports/fills.json",
    panels: [
      panel("multiplyAdds", "multiply-adds, % of the full model"),
      panel("weightBytes", "bytes of weights read, % of the full model"),
    ],
  });
}
