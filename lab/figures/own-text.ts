/** From bench/reports/own-text.json: certified policies on text as given and on generated text. */
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { readJson } from "early-exits/node";
import type { Machine } from "../report/machine.js";
import { reportsFolder } from "../report/script.js";
import { colors, frame } from "./frame.js";

interface Row {
  readonly level: number;
  readonly text: string;
  readonly agreement: number;
  readonly error: number;
}

const COLORS: Readonly<Record<string, string>> = {
  "as given": colors.gray,
  "the full model's, sampled": colors.blue,
  "the full model's, greedy": colors.teal,
  "the policy's own, sampled": colors.orange,
  "the policy's own, greedy": colors.red,
};

export async function ownText(): Promise<string> {
  const {
    machine,
    data: { documents, length, rows },
  } = (await readJson(join(reportsFolder, "own-text.json"))) as {
    readonly machine: Machine;
    readonly data: { readonly documents: number; readonly length: number; readonly rows: readonly Row[] };
  };
  const points = rows.map(({ level, text, agreement, error }) => ({
    level,
    text,
    color: COLORS[text]!,
    mean: 100 * (agreement - level),
    low: 100 * (agreement - level - 2 * error),
    high: 100 * (agreement - level + 2 * error),
  }));
  return frame({
    title: "Tokens kept above (or below) what was certified, by the text that the policy is judged on",
    legend: Object.entries(COLORS).map(([label, color]) => ({ label, color })),
    machine,
    run:
      `sotu-12 and the certificates that come with it; ${documents} continuations of ${length} tokens each, mean ` +
      "over texts ± two standard errors; bench/reports/own-text.json",
    panels: [
      {
        plot: {
          marginLeft: 40,
          marginBottom: 36,
          fx: { label: "certified agreement", tickFormat: (level: number) => `${100 * level} %`, padding: 0.15 },
          x: { axis: null, domain: Object.keys(COLORS), padding: 0.6 },
          y: { label: "percentage points", grid: true },
          facet: { marginTop: 40 },
          marks: [
            Plot.ruleY([0], { strokeDasharray: "4 3" }),
            Plot.ruleX(points, { fx: "level", x: "text", y1: "low", y2: "high", stroke: "color", strokeWidth: 2 }),
            Plot.dot(points, { fx: "level", x: "text", y: "mean", fill: "color", r: 4 }),
          ],
        },
      },
    ],
  });
}
