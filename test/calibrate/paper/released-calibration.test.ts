/** The calibration file of the paper's released code. */
import { attachHeads } from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import {
  calibrateRecords,
  fromReleasedCalibration,
  recordDocuments,
  toReleasedCalibration,
} from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";

describe("the released code's file", () => {
  it("is written in its schema and read back into the same thresholds", async () => {
    const model = await smallModel({ device: createReferenceDevice() });
    const heads = attachHeads(model, { exits: [1, 3] });
    const records = await recordDocuments(heads, [randomIds(60, 61, 1), randomIds(60, 61, 2)]);
    for (const [metric, score] of [
      ["entropy", "entropy"],
      ["confidence", "maxProb"],
    ] as const) {
      const file = JSON.parse(
        JSON.stringify(toReleasedCalibration(records, { metric, levels: [0.05, 0.9], calibrationDataset: "random" })),
      ) as ReturnType<typeof toReleasedCalibration>;
      expect(Object.keys(file)).toEqual([
        "model_config_path",
        "calibration_dataset",
        "calibration_samples",
        "uncertainty_metric",
        "accuracy_levels",
        "thresholds",
        "statistics",
      ]);
      expect(Object.keys(file.thresholds)).toEqual(["0.05", "0.90"]);
      expect(file.statistics["1"]!.num_samples).toBe(120);
      if (metric === "confidence") expect(file.statistics["0"]!.mean_uncertainty).toBeLessThan(0);
      const policy = fromReleasedCalibration(file, heads, 0.05);
      const { policy: ours } = await calibrateRecords(records, { procedure: "paper", agreement: 0.05, score });
      expect(policy.exits).toEqual(ours.exits);
      expect(policy.score).toBe(score);
    }
    const file = toReleasedCalibration(records, { levels: [0.9] });
    expect(() => fromReleasedCalibration(file, heads, 0.75)).toThrow(/level 0.75 is not among 0.90/);
    expect(() => fromReleasedCalibration({}, heads, 0.75)).toThrow(/uncertainty_metric/);
    expect(() => fromReleasedCalibration({ ...file, thresholds: { "0.90": { "2": 1 } } }, heads, 0.9)).toThrow(
      /head 2, but the model has 2 heads/,
    );
    expect(
      fromReleasedCalibration({ ...file, thresholds: { "0.90": {} } }, heads, 0.9).exits.map(
        ({ threshold }) => threshold,
      ),
    ).toEqual(["never", "never"]);
  });
});
