/** The chart of operating points, by Observable Plot. The figure around it says the same in its caption and table. */
import * as Plot from "@observablehq/plot";
import { percent } from "../format.js";
import type { Procedure } from "./procedure.js";
import type { OperatingPoint, Point } from "../../engine/index.js";

interface Dot {
  readonly level: number;
  readonly procedure: Procedure;
  readonly agreement: number;
  readonly coverage: number;
}

/** Charts do not get narrower than this, because the margins would take most of the width. */
const LEAST_WIDTH = 260;
const STYLE = { background: "transparent", fontSize: "12px", overflow: "visible", fontFamily: "inherit" };

/**
 * Agreement against coverage on test documents: certified points as dots, the paper's as hollow diamonds, and a ring
 * around the point in use.
 */
export function curveChart(
  points: readonly OperatingPoint[],
  chosen: { readonly agreement: number; readonly procedure: Procedure },
  width: number,
): Element {
  const dotsOf = (level: number, procedure: Procedure, point: Point | undefined): Dot[] =>
    point?.test === undefined
      ? []
      : [{ level, procedure, agreement: 100 * point.test.agreement, coverage: 100 * point.test.coverage }];
  const dots = points.flatMap(({ agreement, certified, paper }) => [
    ...dotsOf(agreement, "certified", certified),
    ...dotsOf(agreement, "paper", paper),
  ]);
  const certified = dots.filter(({ procedure }) => procedure === "certified");
  const paper = dots.filter(({ procedure }) => procedure === "paper");
  const level = chosen.agreement;
  const current = dots.filter((dot) => dot.level === level && dot.procedure === chosen.procedure);
  const channels = { x: "agreement", y: "coverage" } as const;
  const together = (dot: Dot): Dot[] =>
    certified.filter(({ agreement, coverage }) => agreement === dot.agreement && coverage === dot.coverage);
  const label = (dot: Dot): string =>
    together(dot)
      .map(({ level }) => percent(level, 0))
      .join(", ");
  const lowest = Math.min(...dots.map(({ agreement }) => agreement), ...points.map(({ agreement }) => 100 * agreement));
  return picture({
    width: Math.max(LEAST_WIDTH, width),
    height: 240,
    marginLeft: 44,
    marginRight: 24,
    marginBottom: 40,
    marginTop: 24,
    style: STYLE,
    x: {
      label: "agreement with the full model, %",
      domain: [Math.floor(lowest - 0.5), 100],
      ticks: 5,
      labelAnchor: "center",
    },
    y: {
      label: "tokens that leave early, %",
      domain: [0, Math.max(10, ...dots.map(({ coverage }) => coverage)) * 1.1],
      ticks: 5,
      grid: true,
      labelAnchor: "top",
    },
    marks: [
      Plot.ruleX([100 * level], { stroke: "currentColor", strokeDasharray: "2,4", strokeOpacity: 0.7 }),
      Plot.line(paper, { ...channels, stroke: "var(--uncalibrated)", strokeDasharray: "4,4", strokeWidth: 1.25 }),
      Plot.line(certified, { ...channels, stroke: "var(--certified)", strokeWidth: 2 }),
      Plot.dot(paper, {
        ...channels,
        symbol: "diamond",
        r: 5,
        stroke: "var(--uncalibrated)",
        strokeWidth: 1.75,
        fill: "var(--surface)",
      }),
      Plot.dot(certified, { ...channels, r: 4.5, fill: "var(--certified)" }),
      Plot.dot(current, { ...channels, r: 10, stroke: "currentColor", strokeWidth: 1.5 }),
      Plot.text(
        certified.filter((dot) => together(dot)[0] === dot),
        {
          ...channels,
          text: label,
          dx: -10,
          dy: 7,
          textAnchor: "end",
          fill: "currentColor",
          stroke: "var(--surface)",
          strokeWidth: 4,
        },
      ),
    ],
  });
}

/**
 * A chart as a picture: the figure names it, so its parts have no names of their own, which screen readers would not
 * find in a picture.
 */
function picture(options: Plot.PlotOptions): Element {
  const chart = Plot.plot(options);
  for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
  return chart;
}
