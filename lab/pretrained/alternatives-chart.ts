/** Speed against agreement, a line for each dtype: from plain decoding on, with less and less agreement. */
import * as Plot from "@observablehq/plot";
import { plotSvg } from "../report/index.js";
import type { Alternative } from "./alternatives.js";

interface Dot {
  readonly dtype: string;
  readonly way: string;
  readonly speed: number;
  /** Percent. */
  readonly agreement: number;
}

/** An SVG of ways named "dtype, way"; plain decoding and policies of a dtype are joined. */
export function alternativesChart(ways: readonly Alternative[]): string {
  const dots = ways.map(({ name, ratio, agreement }): Dot => {
    const [dtype = "", way = ""] = name.split(", ");
    return { dtype, way, speed: ratio[1], agreement: 100 * agreement };
  });
  const joined = dots
    .filter(({ way }) => way === "plain" || way.startsWith("policy"))
    .toSorted((a, b) => b.agreement - a.agreement);
  return plotSvg({
    width: 820,
    height: 480,
    marginTop: 62,
    marginRight: 90,
    marginBottom: 44,
    x: {
      label: "tokens that float32 would have chosen, %",
      labelAnchor: "right",
      grid: true,
      reverse: true,
      nice: true,
    },
    y: { label: "speed over float32", grid: true, nice: true, zero: true },
    color: { scheme: "tableau10" },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.line(joined, { x: "agreement", y: "speed", stroke: "dtype", strokeWidth: 1.5 }),
      Plot.dot(dots, { x: "agreement", y: "speed", fill: "dtype", r: 4 }),
      Plot.text(dots, {
        x: "agreement",
        y: "speed",
        text: ({ dtype, way }: Dot) => (way === "plain" ? dtype : way),
        fill: "dtype",
        dx: 7,
        dy: -7,
        textAnchor: "start",
        fontSize: 10,
      }),
      Plot.text(["Speed against agreement, SmolLM2-135M-Instruct"], {
        frameAnchor: "top-left",
        dy: -46,
        fontSize: 14,
        fontWeight: "bold",
      }),
    ],
  });
}
