/**
 * Makes the certificates of the embedded model again, from the same segments and the same costs, and requires the same
 * thresholds, counts and p-values as the files hold: they came from version 1 of the format, which did not bind the
 * groups, the settings and the kernels. The unit stays the segment ("independence assumed"); the design effect by
 * speech stands beside it. Then certifies once more with speeches as groups, which is what the text allows.
 *   tsx lab/recertify.ts [--model models/sotu-12]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Certificate, exactFill } from "early-exits";
import { calibrateRecords, type CalibrationRecords, recordDocuments, verifyCertificate } from "early-exits/calibrate";
import { createDevice, fileExists, readHeads, readJson, readModel, writeFileAtomic } from "early-exits/node";
import { certify, certifySettings } from "../src/calibrate/certify/index.js";
import { arrange, recordedEvidence } from "../src/calibrate/record/index.js";
import { loadSotu, shippingTexts, SPLIT_SEED, splitCorpus } from "./ship/index.js";

const { values } = parseArgs({ options: { model: { type: "string", default: "models/sotu-12" } } });
const folder = join(values.model, "certificates");
const device = await createDevice("wasm");
const model = await readModel(values.model, { device });
const heads = await readHeads(join(values.model, "heads"), model);
const { calibration } = shippingTexts(splitCorpus(loadSotu().documents, SPLIT_SEED));
const records = await recordDocuments(heads, calibration, {
  onDocument: ({ document, documents }) => {
    if (document % 100 === 0) console.error(`recorded ${document}/${documents}`);
  },
});
for (const level of [99, 95, 90, 80]) {
  const path = join(folder, `${level}.json`);
  const before = (await readJson(path)) as Certificate;
  const made = await certifyAgain(records, before);
  requireSame(before, made);
  const { verdict, reasons } = await verifyCertificate(made, { records, heads });
  if (verdict !== "reproduced") throw new Error(`recertify: ${level} is ${verdict}: ${reasons.join("; ")}`);
  await writeFileAtomic(path, `${JSON.stringify(made)}\n`);
  console.log(`${level} %: same thresholds and counts; design effect by speech ${made.groups.designEffect}`);
}
for (const agreement of [0.9, 0.8]) {
  const { policy, certificate } = await calibrateRecords(records, {
    agreement,
    delta: 0.05,
    fill: exactFill(model.config),
    seed: 1,
  });
  const thresholds = policy.exits.map(({ threshold }) => threshold).join(", ");
  const { measured, furtherUnits, furtherDocuments, split, documents } = certificate;
  const groups = new Set(documents.slice(split.grid).map(({ group }) => group)).size;
  console.log(
    `by speech ${agreement}: ${groups} speeches tested, thresholds ${thresholds}, agreement ` +
      `${measured.documentAgreement.toFixed(4)}, mean depth ${measured.meanDepth.toFixed(2)}; further speeches ` +
      `${furtherUnits}, further segments ${furtherDocuments}`,
  );
  const path = join(values.model, "certificates-by-speech", `${Math.round(100 * agreement)}.json`);
  const exiting = policy.exits.some(({ threshold }) => threshold !== "never");
  if (exiting || (await fileExists(path))) await writeFileAtomic(path, `${JSON.stringify(certificate)}\n`);
}
heads.dispose();
model.dispose();
await device.dispose();

/** The same claim from the same records, with the costs that were measured then. */
async function certifyAgain(from: CalibrationRecords, before: Certificate): Promise<Certificate> {
  const { agreement, delta, split, policy, costs, documents } = before;
  const settings = certifySettings({
    agreement,
    delta,
    unit: "document",
    fill: policy.fill,
    seed: split.seed,
    gridShare: Math.round((100 * split.grid) / documents.length) / 100,
    bound: "wsr",
  });
  const known = { ...settings, knownCosts: () => costs };
  const evidence = recordedEvidence(from, await arrange(from.documents, known));
  return (await certify(evidence, known)).certificate;
}

/** Throws unless both certify the same policy by the same numbers. */
function requireSame(before: Certificate, after: Certificate): void {
  const numbers = ({ agreement, delta, policy, split, documents, tests, measured }: Certificate): unknown => ({
    agreement,
    delta,
    score: policy.score,
    exits: policy.exits,
    split,
    documents: documents.map(({ hash, tokens }) => [hash, tokens]),
    tests,
    measured,
  });
  if (JSON.stringify(numbers(before)) === JSON.stringify(numbers(after))) return;
  throw new Error(`recertify: the numbers for ${before.agreement} have changed`);
}
