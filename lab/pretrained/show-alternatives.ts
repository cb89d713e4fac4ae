/** Other ways of being faster: a table, and speed against agreement, a line for each dtype. */
import * as Plot from "@observablehq/plot";
import { percent } from "../report/format.js";
import { plotSvg } from "../report/plot.js";
import { prose } from "../report/prose.js";
import type { Table } from "../report/report.js";
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

/** Terms under which alternatives were measured. `prompts` is their number. */
interface AlternativesFacts {
  readonly prompts: string;
  readonly threads: string;
  /** Dtype that the policies are certified in. */
  readonly dtype: string;
}

/** The ways, the fastest first. */
export function alternativesTable(ways: readonly Alternative[], { prompts, threads, dtype }: AlternativesFacts): Table {
  return {
    title: "Beside other ways of being faster",
    note: prose`The first ${prompts} prompts, all ways in turns, ${threads} thread(s). Ratio: to float32 without exits,
      median by prompt, and quartiles. Agreement: with the float32 model, after the same text. Policies are certified in
      ${dtype} against the same model in ${dtype}; in other dtypes they are used without a promise. "Always" removes the
      blocks above a head, and keeps that head. Unembedding: how a token that no head chose is found, as measured while
      loading; where it is screened, plain decoding is faster already, and a preview in its place saves less.`,
    columns: ["", "tokens/s", "ratio", "quartiles", "mean depth", "agreement with float32", "unembedding"],
    rows: ways
      .toSorted((a, b) => b.ratio[1] - a.ratio[1])
      .map(({ name, tokensPerSecond, ratio: [low, median, high], meanDepth, agreement, unembedding }) => [
        name,
        tokensPerSecond.toFixed(0),
        median.toFixed(2),
        `${low.toFixed(2)} to ${high.toFixed(2)}`,
        meanDepth.toFixed(2),
        percent(agreement),
        unembedding,
      ]),
  };
}
