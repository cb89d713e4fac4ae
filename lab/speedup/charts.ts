/** The two charts of the report. */
import * as Plot from "@observablehq/plot";
import { sum } from "d3-array";
import type { Comparison } from "early-exits/evaluate";
import { plotSvg } from "../report/plot.js";
import type { Judged } from "./tables.js";
import type { NamedWay } from "./ways.js";

/** Shallow to deep. */
const DEPTH_BLUES = ["#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"] as const;

/** Blocks that sampled tokens needed, by certified level. */
export function depthChart({ summaries }: Comparison, ways: readonly NamedWay[]): string {
  const shares = ways.flatMap(({ name, kind }, i) => {
    if (kind !== "certified") return [];
    const counts = summaries[i]!.reduce<number[]>(
      (counted, { depthCounts }) => depthCounts.map((count, depth) => count + (counted[depth] ?? 0)),
      [],
    );
    const total = sum(counts);
    return counts.flatMap((count, depth) =>
      count === 0 ? [] : [{ way: name, depth: `${depth} blocks`, share: count / total }],
    );
  });
  const depths = [...new Set(shares.map(({ depth }) => depth))].sort((a, b) => parseInt(a) - parseInt(b));
  return plotSvg({
    width: 680,
    height: 96 + 36 * new Set(shares.map(({ way }) => way)).size,
    marginLeft: 110,
    marginTop: 52,
    marginRight: 30,
    marginBottom: 44,
    x: { label: "share of sampled tokens", tickFormat: ".0%" },
    y: { label: null },
    color: {
      domain: depths,
      range: depths.map(
        (_, i) => DEPTH_BLUES[Math.round((i * (DEPTH_BLUES.length - 1)) / Math.max(1, depths.length - 1))]!,
      ),
    },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.barX(shares, Plot.stackX({ order: depths, x: "share", y: "way", fill: "depth", z: "depth" })),
      Plot.text(
        shares,
        Plot.stackX({
          order: depths,
          x: "share",
          y: "way",
          z: "depth",
          text: ({ share, depth }: { share: number; depth: string }) =>
            share < 0.12 ? "" : `${depth}: ${(100 * share).toFixed(0)} %`,
          fill: "white",
        }),
      ),
      Plot.text(["Blocks that tokens needed, by certified agreement"], {
        frameAnchor: "top-left",
        dx: -104,
        dy: -34,
        fontSize: 13,
        fontWeight: "bold",
      }),
    ],
  });
}

/** Speedup against agreement on test documents: certified policies, and the paper's rule at the same levels. */
export function speedupChart(judged: readonly Judged[]): string {
  const points = judged.flatMap(({ way: { kind, level }, test, sampled }) =>
    level === undefined || test === undefined
      ? []
      : [
          {
            kind: kind === "paper" ? "paper's rule" : "certified",
            level,
            agreement: test.documentAgreement,
            speedup: sampled.ratio.median,
          },
        ],
  );
  return plotSvg({
    width: 680,
    height: 420,
    marginLeft: 50,
    marginTop: 64,
    marginRight: 30,
    inset: 24,
    grid: true,
    x: { label: "agreement on test documents", tickFormat: ".0%", reverse: true },
    y: { label: "speedup, sampled text" },
    color: { legend: false, domain: ["certified", "paper's rule"], range: ["#1f77b4", "#d62728"] },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.line(points, { x: "agreement", y: "speedup", stroke: "kind", strokeWidth: 1.5 }),
      Plot.dot(points, { x: "agreement", y: "speedup", fill: "kind", r: 5, symbol: "kind" }),
      Plot.text(points, {
        x: "agreement",
        y: "speedup",
        text: ({ level, kind }: { level: number; kind: string }) =>
          `${kind === "certified" ? "certified" : "asked"} ${level}`,
        dy: -12,
        fill: "kind",
      }),
      Plot.text(["Speed against agreement; blue: certified, red: the paper's rule, no guarantee"], {
        frameAnchor: "top-left",
        dx: -44,
        dy: -32,
        fontSize: 13,
        fontWeight: "bold",
      }),
    ],
  });
}
