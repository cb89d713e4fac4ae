/** The report: golden numbers of the ranking measures, curves with bands, and an oracle that no policy beats. */
import { fc, test } from "@fast-check/vitest";
import { reportAgreement } from "early-exits";
import type { CalibrationRecords } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { canonicalSampling, LOSS_UNIT } from "../../src/model/decode/index.js";
import { handmadeRecords } from "../support/records.js";

/** Records of one exit, with the margin of each token. */
function oneExit(margins: readonly number[], agrees: readonly number[]): CalibrationRecords {
  const base = handmadeRecords(1);
  const stats = Float32Array.from(margins.flatMap((margin) => [0, margin, 0, 5, 5 - margin]));
  return {
    ...base,
    depths: [3],
    ledger: { ...base.ledger, heads: [20] },
    documents: [
      { hash: "0".repeat(64), positions: margins.length, exits: [{ stats, agrees: Uint8Array.from(agrees) }] },
    ],
  };
}

describe("reportAgreement", () => {
  it("has the AUROC and the area under the risk-coverage curve of an example computed by hand", () => {
    // By falling confidence: right, wrong, right, right, wrong. Of 6 pairs (right, wrong), 4 are in order. Risks at
    // coverage 1/5 to 1: 0, 1/2, 1/3, 1/4, 2/5.
    const {
      exits: [exit],
    } = reportAgreement(oneExit([5, 4, 3, 2, 1], [1, 0, 1, 1, 0]), { points: 5 });
    expect(exit!.scores.margin.auroc).toBeCloseTo(4 / 6, 12);
    expect(exit!.scores.margin.aurc).toBeCloseTo((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5, 12);
    expect(exit!.curve.map(({ agreement }) => Number(agreement.toFixed(6)))).toEqual([1, 0.5, 0.666667, 0.75, 0.6]);
    expect(exit!.curve.map(({ threshold }) => threshold)).toEqual([5, 4, 3, 2, 1]);
    expect(reportAgreement(oneExit([2, 2, 2, 2], [1, 0, 1, 0])).exits[0]!.scores.margin).toEqual({
      auroc: 0.5,
      aurc: 0.5,
    });
    expect(reportAgreement(oneExit([2, 1], [1, 1])).exits[0]!.scores.margin).toEqual({ auroc: null, aurc: 0 });
  });

  it("counts a token of sampled text as agreeing in part", () => {
    // Kept are 3/4 and 1/4. Two tokens are one pair: in order with weight 3/4 · 3/4, in the wrong order with 1/4 · 1/4.
    const records = oneExit([2, 1], [1, 0]);
    const [document] = records.documents;
    const losses = Int32Array.from([LOSS_UNIT / 4, (3 * LOSS_UNIT) / 4]);
    const { exits, sampling, withoutExits } = reportAgreement(
      {
        ...records,
        sampling: canonicalSampling({ temperature: 1 }),
        documents: [{ ...document!, exits: [{ ...document!.exits[0]!, losses }] }],
      },
      { points: 2 },
    );
    expect(exits[0]!.scores.margin.auroc).toBeCloseTo(9 / 10, 12);
    expect(exits[0]!.scores.margin.aurc).toBeCloseTo((1 / 4 + 1 / 2) / 2, 12);
    expect(exits[0]!.curve.map(({ agreement }) => agreement)).toEqual([0.75, 0.5]);
    expect([sampling.temperature, withoutExits]).toEqual([1, 1]);
  });

  test.prop([fc.nat(1000)], { numRuns: 10 })(
    "bands contain their curve, and the oracle is neither deeper nor more expensive than a strict policy",
    (seed) => {
      const records = handmadeRecords(10, { seed, error: 0.8 });
      const policy = {
        format: "early-exits/policy",
        version: 1,
        score: "margin",
        fill: "lazy",
        exits: [
          { depth: 2, threshold: 0.9 },
          { depth: 4, threshold: 0.5 },
        ],
      } as const;
      const report = reportAgreement(records, { policy });
      for (const { curve } of report.exits) {
        for (const { low, agreement, high } of curve) expect(low <= agreement && agreement <= high).toBe(true);
      }
      expect(report.oracle.meanDepth).toBeLessThanOrEqual(report.policy!.meanDepth);
      expect(report.oracle.cost).toBeLessThanOrEqual(report.policy!.cost);
      expect(report.policy!.regret.meanDepth).toBeCloseTo(report.policy!.meanDepth - report.oracle.meanDepth, 12);
      expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    },
  );

  it("shows that a constant score carries no information", () => {
    const records = handmadeRecords(100);
    const documents = records.documents.map((document) => ({
      ...document,
      exits: document.exits.map(({ stats, agrees }) => ({
        agrees,
        stats: stats.map((value, i) => (i % 5 === 4 ? 1 : value)),
      })),
    }));
    const { scores } = reportAgreement({ ...records, documents }).exits[1]!;
    expect(scores.entropy.auroc).toBe(0.5);
    expect(scores.margin.auroc).toBeGreaterThan(0.7);
  });
});
