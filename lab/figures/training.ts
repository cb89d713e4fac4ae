/**
 * Heads of sotu-6 learn from its own predictions, with the two published losses: how often they agree with it on unseen
 * text, and how confident they are.
 */
import * as Plot from "@observablehq/plot";
import { attachHeads, type ExitHeads, type HeadLoss, trainHeads } from "early-exits";
import { confidenceAt, scoreOf } from "early-exits/exits";
import { recordDocuments } from "early-exits/calibrate";
import { machine } from "../report/machine.js";
import { documentsOf, openModel } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const STEPS = 300;
const EVERY = 25;
const DEPTHS = [2, 4];
const HELD = 10;

interface Point {
  readonly step: number;
  readonly depth: number;
  readonly agreement: number;
  readonly maxProb: number;
}

export async function training(): Promise<string> {
  const where = machine();
  const model = await openModel("sotu-6");
  const train = await documentsOf("sotu-6", "train");
  const held = (await documentsOf("sotu-6", "test")).slice(0, HELD);
  const look = async (heads: ExitHeads, step: number): Promise<Point[]> => {
    const { documents } = await recordDocuments(heads, held);
    return heads.depths.map((depth, exit) => {
      let agreed = 0;
      let sure = 0;
      let positions = 0;
      for (const document of documents) {
        const { stats, agrees } = document.exits[exit]!;
        positions += document.positions;
        agrees.forEach((agree, t) => {
          agreed += agree;
          sure += scoreOf(confidenceAt(stats, t), "maxProb");
        });
      }
      return { step, depth, agreement: (100 * agreed) / positions, maxProb: sure / positions };
    });
  };
  const runs: { label: string; color: string; points: Point[] }[] = [];
  const losses: readonly (readonly [string, string, HeadLoss])[] = [
    ["KL (v2, default)", colors.blue, { kind: "kl" }],
    ["penalized cross-entropy (v1), w = 0.9", colors.orange, { kind: "penalized", weight: 0.9 }],
  ];
  for (const [label, color, loss] of losses) {
    const heads = attachHeads(model, { exits: DEPTHS });
    const points = await look(heads, 0);
    await trainHeads(heads, train, {
      steps: STEPS,
      batchSize: 4,
      learningRate: 2e-3,
      loss,
      seed: 1,
      onStep: async ({ step }) => {
        if (step % EVERY === 0) points.push(...(await look(heads, step)));
      },
    });
    runs.push({ label, color, points });
    heads.dispose();
  }
  const lines = (y: "agreement" | "maxProb") =>
    runs.flatMap(({ points, color }) =>
      DEPTHS.flatMap((depth) => {
        const line = points.filter((point) => point.depth === depth);
        return [
          Plot.lineY(line, {
            x: "step",
            y,
            stroke: color,
            strokeWidth: 2,
            ...(depth === DEPTHS[0] && { strokeDasharray: "5 3" }),
          }),
        ];
      }),
    );
  const ends = (y: "agreement" | "maxProb") => [
    Plot.text(
      runs.flatMap(({ points }) => points.filter((point) => point.step === STEPS && point[y] > 0.1)),
      { x: "step", y, text: ({ depth }: Point) => `depth ${depth}`, textAnchor: "start", dx: 5 },
    ),
  ];
  const x = { label: "training steps" };
  return frame({
    title:
      "Trained on the model's own predictions, heads learn to agree with it; the loss of 2024 keeps their " +
      "confidence low on purpose",
    legend: runs,
    machine: where,
    run:
      `dense heads of sotu-6 at depths ${DEPTHS.join(" (dashed) and ")}, steps of 4 x 128 tokens, AdamW, ` +
      `learning rate 2e-3; ${HELD} documents of test speeches`,
    panels: [
      {
        title: "agree with the full model, % of tokens",
        plot: {
          marginLeft: 38,
          marginRight: 50,
          x,
          y: { label: null, grid: true },
          marks: [...lines("agreement"), ...ends("agreement")],
        },
      },
      {
        title: "mean probability of the head's own token",
        plot: {
          marginLeft: 38,
          marginRight: 50,
          x,
          y: { label: null, grid: true, domain: [0, 0.6] },
          marks: [...lines("maxProb"), ...ends("maxProb")],
        },
      },
    ],
  });
}
