/**
 * The test behind the certificate of sotu-12 for 95 %, from the file in models/: candidates in order, losses, p-values.
 */
import * as Plot from "@observablehq/plot";
import { machine } from "../report/machine.js";
import { shippedCertificate } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

export async function fixedSequence(): Promise<string> {
  const { agreement, delta, test, costs, costUnit, measured } = await shippedCertificate(95);
  const unit = costUnit === "milliseconds" ? "milliseconds" : "multiply-adds";
  const points = test!.candidates.map(({ risk, pValue, cost }, i) => ({
    order: i + 1,
    risk: 100 * risk,
    p: pValue,
    cost: (100 * cost) / costs.full,
    accepted: i < test!.accepted,
  }));
  const dots = (y: "risk" | "p" | "cost") => [
    Plot.dot(points, {
      x: "order",
      y,
      r: 3.5,
      fill: ({ accepted }: { accepted: boolean }) => (accepted ? colors.blue : colors.red),
    }),
  ];
  const x = { label: "candidate, in the order of testing", ticks: [1, 5, 10, 15] };
  const chosen = points.findLast(({ accepted }) => accepted)!;
  return frame({
    title:
      "Candidates are tested from strict to lax, up to the first that fails; the cheapest accepted one becomes " +
      "the policy",
    legend: [
      { label: "accepted", color: colors.blue },
      { label: "fails: the sequence ends here", color: colors.red },
    ],
    machine: machine(),
    run:
      `the certificate models/sotu-12/certificates/95.json: ${measured.documents} test documents, ${test!.planned} ` +
      `candidates planned, ${points.length} tested; cost in ${unit}, on the grid split`,
    panels: [
      {
        title: "changed tokens, % of a document",
        plot: {
          marginLeft: 32,
          x,
          y: { label: null, grid: true, domain: [0, 5.5] },
          marks: [
            Plot.ruleY([100 * (1 - agreement)], { strokeDasharray: "4 3" }),
            Plot.text([`ε = ${(100 * (1 - agreement)).toFixed(0)} %`], { frameAnchor: "top-left", dy: 8, dx: 4 }),
            ...dots("risk"),
          ],
        },
      },
      {
        title: 'p-value of "more than ε"',
        plot: {
          marginLeft: 42,
          x,
          y: { label: null, type: "log", grid: true, tickFormat: ".0e", ticks: 6 },
          marks: [
            Plot.ruleY([delta], { strokeDasharray: "4 3" }),
            Plot.text([[1, delta]], { text: () => `δ = ${delta}`, textAnchor: "start", dy: -8 }),
            ...dots("p"),
          ],
        },
      },
      {
        title: "cost, % of the full model",
        plot: {
          marginLeft: 32,
          x,
          y: { label: null, grid: true, domain: [50, 100] },
          marks: [
            ...dots("cost"),
            Plot.text([chosen], {
              x: "order",
              y: "cost",
              text: () => "the policy ↗",
              textAnchor: "end",
              dx: 2,
              dy: 12,
            }),
          ],
        },
      },
    ],
  });
}
