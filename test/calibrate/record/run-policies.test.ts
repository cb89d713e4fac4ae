/** Runs of policies: they count what the decoder emits, agree with recordings, and serve calibration. */
import { attachHeads, calibrate, verifyCertificate } from "early-exits";
import { calibrateRecords, proposeThresholds, recordDocuments, runPolicies } from "early-exits/calibrate";
import type { Threshold } from "early-exits/exits";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { tableOf } from "../../../src/calibrate/record/evidence.js";
import { tallyRuns } from "../../../src/calibrate/record/policy-runs.js";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { giveProjections, randomIds, smallHeads } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

describe("runPolicies", () => {
  const device = createReferenceDevice();
  const thresholds: Threshold[][] = [
    ["never", 3.6],
    [3.7, "never"],
    ["always", "never"],
    ["never", "never"],
  ];

  it("gives the counts of a recording with an exact fill; with project other tokens change too", async () => {
    const heads = await smallHeads({}, { device });
    await giveProjections(heads);
    const documents = Array.from({ length: 6 }, (_, i) => randomIds(12 + i, 61, i));
    const windows = { sequenceLength: 9 };
    const records = await recordDocuments(heads, documents, windows);
    const vectors = thresholds.map((vector) =>
      vector.map((threshold) => (threshold === "never" ? Infinity : threshold === "always" ? -Infinity : -threshold)),
    );
    const recorded = tallyVectors(tableOf(records.documents, "entropy"), vectors);
    const run = async (fill: "lazy" | "project") =>
      tallyRuns(await runPolicies(heads, documents, { score: "entropy", fill, thresholds }, windows));
    expect(await run("lazy")).toEqual(recorded);
    const projected = await run("project");
    expect(projected.deep.some((changed) => changed > 0)).toBe(true);
    // threshold "always": no token goes deeper
    expect(projected.left.filter((_, i) => i % 8 === 4)).toEqual(recorded.left.filter((_, i) => i % 8 === 4));
  });
});

describe("records and runs together", () => {
  const options = { agreement: 0.3, delta: 0.3, fill: "project", seed: 3, candidates: 6 } as const;

  async function subject() {
    const heads = await smallHeads();
    await giveProjections(heads);
    // Beginnings that are given, and what is judged after them.
    const documents = Array.from({ length: 40 }, (_, i) => ({ ids: randomIds(16, 61, i), from: i % 9 }));
    const records = await recordDocuments(heads, documents);
    return { heads, documents, records };
  }

  it("gives the certificate of calibrate, also when several levels are run together; it can be verified", async () => {
    const { heads, documents, records } = await subject();
    const other = await proposeThresholds(records, { ...options, agreement: 0.5, score: "entropy" });
    const own = await proposeThresholds(records, { ...options, score: "entropy" });
    const runs = await runPolicies(heads, documents, { ...own, thresholds: [...other.thresholds, ...own.thresholds] });
    const stored = JSON.parse(JSON.stringify(runs)) as typeof runs;
    const { certificate } = await calibrateRecords(records, { ...options, score: "entropy", runs: stored });
    const streamed = await calibrate(heads, documents, { ...options, score: "entropy" });
    expect(certificate).toEqual(streamed.certificate);
    expect(certificate.test!.candidates.length).toBeGreaterThan(0);
    await expect(verifyCertificate(certificate, { heads, documents })).resolves.toMatchObject({
      verdict: "reproduced",
    });
  });

  it("refuses missing runs, and runs of anything else", async () => {
    const { heads, documents, records } = await subject();
    await expectCode(calibrateRecords(records, options), "fill-unrecorded");
    const candidates = await proposeThresholds(records, options);
    const others = attachHeads(heads.model, { exits: [1, 2], kind: "linear" });
    await giveProjections(others);
    const misfits = [
      await runPolicies(heads, documents.slice(1), candidates),
      await runPolicies(heads, documents.toReversed(), candidates),
      await runPolicies(heads, documents, { ...candidates, fill: "lazy" }),
      await runPolicies(others, documents, candidates),
      await runPolicies(heads, documents, candidates, { sequenceLength: 20 }),
      // Without the candidates that the grid split proposes, nothing was counted that could be certified.
      await runPolicies(heads, documents, { ...candidates, thresholds: [["never", "never"]] }),
    ];
    for (const runs of misfits) {
      await expectCode(calibrateRecords(records, { ...options, runs }), "runs-misfit");
    }
    const fitting = await runPolicies(heads, documents, candidates);
    const score = candidates.score === "margin" ? "entropy" : "margin";
    await expectCode(calibrateRecords(records, { ...options, score, runs: fitting }), "runs-misfit");
  });
});
