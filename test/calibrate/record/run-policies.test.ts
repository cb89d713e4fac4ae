/** Runs of policies serve calibration beside records. */
import { attachHeads, calibrate, verifyCertificate } from "early-exits";
import { calibrateRecords, proposeThresholds, recordDocuments, runPolicies } from "early-exits/calibrate";
import { expect, it } from "vitest";
import { sharedWasm } from "../../support/devices.js";
import { giveProjections, randomIds, smallHeads } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const options = { agreement: 0.3, delta: 0.3, fill: "project", seed: 3, candidates: 6 } as const;

const heads = await giveProjections(await smallHeads({}, { device: await sharedWasm() }));
// Beginnings that are given, and what is judged after them.
const documents = Array.from({ length: 40 }, (_, i) => ({ ids: randomIds(16, 61, i), from: i % 9 }));
const records = await recordDocuments(heads, documents);

it("gives the certificate of calibrate, also when several levels are run together; it can be verified", async () => {
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
  await expectCode(calibrateRecords(records, options), "fill-unrecorded");
  const candidates = await proposeThresholds(records, options);
  const others = await giveProjections(attachHeads(heads.model, { exits: [1, 2], kind: "linear" }));
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
