/** Text that a certificate needs: policies of sotu-12 certified from few and from many calibration documents. */
import * as Plot from "@observablehq/plot";
import { mean } from "d3-array";
import { createRng } from "early-exits/tensor";
import { calibrateRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { machine } from "../report/machine.js";
import { documentsOf, openHeads } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const COUNTS = [20, 40, 75, 150, 300];
const DRAWS = 10;
const LEVELS = [
  { agreement: 0.95, label: "certified .95", color: colors.blue },
  { agreement: 0.9, label: "certified .90", color: colors.orange },
];

export async function documentsNeeded(): Promise<string> {
  const where = machine();
  const heads = await openHeads();
  const calibration = await recordDocuments(heads, await documentsOf("sotu-12", "calibration"));
  const test = await recordDocuments(heads, await documentsOf("sotu-12", "test"));
  const points: { documents: number; color: string; agreement: number; depth: number; kept: number }[] = [];
  for (const { agreement, color } of LEVELS) {
    for (const documents of COUNTS) {
      for (let draw = 1; draw <= DRAWS; draw++) {
        const chosen = createRng(draw)
          .fork(`${documents} documents`)
          .shuffle(calibration.documents)
          .slice(0, documents);
        const { policy } = await calibrateRecords(
          { ...calibration, documents: chosen },
          { agreement, delta: 0.05, fill: "shared", seed: draw },
        );
        const { meanDepth, documentAgreement } = playPolicy(test, policy);
        points.push({ documents, color, agreement, depth: meanDepth, kept: 100 * documentAgreement });
      }
    }
  }
  const means = LEVELS.flatMap(({ agreement, color }) =>
    COUNTS.map((documents) => {
      const same = points.filter((point) => point.agreement === agreement && point.documents === documents);
      const depth = mean(same, (point) => point.depth)!;
      return { documents, color, agreement, depth, kept: mean(same, ({ kept }) => kept)! };
    }),
  );
  const marks = (y: "depth" | "kept") => [
    Plot.dot(points, { x: "documents", y, fill: "color", fillOpacity: 0.35, r: 3 }),
    ...LEVELS.map(({ agreement, color }) =>
      Plot.lineY(
        means.filter((mean) => mean.agreement === agreement),
        { x: "documents", y, stroke: color, strokeWidth: 2 },
      ),
    ),
  ];
  const x = { type: "log", label: "calibration documents", ticks: COUNTS, tickFormat: "d" } as const;
  return frame({
    title: "Certificates from few documents are valid, but they let fewer tokens leave early",
    legend: LEVELS,
    machine: where,
    run:
      `sotu-12 and its heads, overall agreement, delta .05; ${DRAWS} draws of so many documents (dots) and their ` +
      `means; judged on ${test.documents.length} test documents`,
    panels: [
      {
        title: "mean depth on test documents, of 12",
        plot: { marginLeft: 34, x, y: { label: null, grid: true, domain: [5, 12] }, marks: marks("depth") },
      },
      {
        title: "agreement on test documents, %",
        plot: {
          marginLeft: 40,
          x,
          y: { label: null, grid: true },
          marks: [
            ...LEVELS.map(({ agreement, color }) =>
              Plot.ruleY([100 * agreement], { stroke: color, strokeDasharray: "4 3" }),
            ),
            ...marks("kept"),
          ],
        },
      },
    ],
  });
}
