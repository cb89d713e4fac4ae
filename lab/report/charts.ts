/** The two charts of reports: bars with their values, and dots beside a limit. */
import * as Plot from "@observablehq/plot";
import { plotSvg } from "./plot.js";

/** Horizontal bars, one per row, each with its value. */
export function barChart(
  bars: readonly { readonly label: string; readonly value: number; readonly group: string }[],
  { title, unit }: { readonly title: string; readonly unit: string },
): string {
  return plotSvg({
    marginLeft: 190,
    marginRight: 60,
    marginTop: 34,
    width: 720,
    height: 70 + 26 * bars.length,
    x: { label: unit, labelAnchor: "right", grid: true },
    y: { label: null, domain: bars.map(({ label }) => label) },
    color: { legend: false, scheme: "tableau10" },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.barX(bars, { x: "value", y: "label", fill: "group" }),
      Plot.text(bars, {
        x: "value",
        y: "label",
        text: ({ value }: { value: number }) => Number(value.toPrecision(3)).toString(),
        dx: 4,
        textAnchor: "start",
      }),
      Plot.ruleX([0]),
      Plot.text([title], { frameAnchor: "top-left", dy: -26, dx: -180, fontSize: 14, fontWeight: "bold" }),
    ],
  });
}

/** Dots in rows, one row per label, coloured by group, and a dashed rule at the limit. */
export function dotChart(
  dots: readonly { readonly label: string; readonly value: number; readonly group: string }[],
  { title, unit, limit }: { readonly title: string; readonly unit: string; readonly limit: number },
): string {
  const labels = [...new Set(dots.map(({ label }) => label))];
  const groups = [...new Set(dots.map(({ group }) => group))];
  return plotSvg({
    marginLeft: 430,
    marginRight: 250,
    marginTop: 40,
    width: 1100,
    height: 90 + 26 * labels.length,
    x: { label: unit, labelAnchor: "right", grid: true, domain: [0, 100] },
    y: { label: null, domain: labels },
    color: { domain: groups, scheme: "tableau10" },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.ruleX([limit], { stroke: "black", strokeDasharray: "4 3" }),
      Plot.dot(dots, { x: "value", y: "label", fill: "group", r: 5, fillOpacity: 0.8 }),
      ...groups.map((group, i) =>
        Plot.text([group], {
          frameAnchor: "top-right",
          dx: 20,
          dy: 18 * i,
          textAnchor: "start",
          fill: () => group,
          fontSize: 13,
        }),
      ),
      Plot.text([title], { frameAnchor: "top-left", dy: -30, dx: -420, fontSize: 14, fontWeight: "bold" }),
    ],
  });
}
