/**
 * The heads that come with sotu-12, on test speeches: how often their most confident tokens agree with the full model,
 * by each of the four scores.
 */
import * as Plot from "@observablehq/plot";
import { scoreNames } from "early-exits/exits";
import { recordDocuments } from "early-exits/calibrate";
import { machine } from "../report/machine.js";
import { rankTokens } from "../report/agreement.js";
import { documentsOf, openHeads } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const COLORS = { entropy: colors.orange, maxProb: colors.green, margin: colors.blue, probGap: colors.purple } as const;

/** Points of a line. */
const POINTS = 40;

interface Point {
  readonly coverage: number;
  readonly agreement: number;
}

function pointsOf(curve: Float64Array): Point[] {
  return Array.from({ length: POINTS }, (_, p) => {
    const count = Math.max(1, Math.round(((p + 1) / POINTS) * curve.length));
    return { coverage: count / curve.length, agreement: curve[count - 1]! };
  });
}

export async function scores(): Promise<string> {
  const where = machine();
  const records = await recordDocuments(await openHeads(), await documentsOf("sotu-12", "test"));
  const tokens = records.documents.reduce((sum, { positions }) => sum + positions, 0);
  return frame({
    title: "A head is nearly always right on its most confident tokens; the scores rank them differently",
    legend: scoreNames.map((score) => ({ label: score, color: COLORS[score] })),
    machine: where,
    run:
      `heads of sotu-12 on ${records.documents.length} test documents, ${tokens.toLocaleString("en")} tokens; ` +
      "each head as if it were the only one",
    panels: records.depths.map((depth, exit) => ({
      title: `depth ${depth}: agreement of the most confident, %`,
      plot: {
        marginLeft: 36,
        x: { label: "share of all tokens, most confident first, %" },
        y: { label: null, grid: true, domain: [65, 100] },
        marks: scoreNames.map((score) =>
          Plot.lineY(pointsOf(rankTokens(records, exit, score).curve), {
            x: ({ coverage }: Point) => 100 * coverage,
            y: ({ agreement }: Point) => 100 * agreement,
            stroke: COLORS[score],
            strokeWidth: 2,
          }),
        ),
      },
    })),
  });
}
