/**
 * Makes the certificates of the embedded model again, for its heads as they are and the kernels of today: from the same
 * segments, in the same order, with the same costs and settings. A certificate names the kernels that it was made with,
 * so this runs after their bits have changed. The unit stays the segment ("independence assumed"); the design effect by
 * speech stands beside it. Then certifies once more with speeches as groups, which is what the text allows. Prints what
 * has changed, and brings shipped.json and the model card up to date. Heads that do not know their training text get
 * its hashes first, from the segments that ship.ts trains on.
 *   tsx lab/recertify.ts [--model models/sotu-12]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Certificate, exactFill, libraryVersion } from "early-exits";
import {
  calibrateRecords,
  type CalibrationRecords,
  playPolicy,
  recordDocuments,
  verifyCertificate,
} from "early-exits/calibrate";
import {
  createDevice,
  fileExists,
  readHeads,
  readJson,
  readModel,
  writeFileAtomic,
  writeHeads,
} from "early-exits/node";
import { certify } from "../src/calibrate/certify/certify.js";
import { certifySettings } from "../src/calibrate/certify/settings.js";
import { arrange } from "../src/calibrate/record/split.js";
import { taughtBy, nothingTaught } from "../src/exits/heads/taught.js";
import { recordedEvidence } from "../src/calibrate/record/evidence.js";
import { machine } from "./report/machine.js";
import { loadSotu, splitCorpus } from "./ship/corpus.js";
import { type ShippedFacts, shippedLevel, type ShippedLevel, writeShipped } from "./ship/card.js";
import { shippingTexts } from "./ship/texts.js";
import { SPLIT_SEED } from "./ship/segments.js";

const { values } = parseArgs({ options: { model: { type: "string", default: "models/sotu-12" } } });
const folder = join(values.model, "certificates");
const device = await createDevice("wasm");
const model = await readModel(values.model, { device });
const heads = await readHeads(join(values.model, "heads"), model);
const { train, calibration, test } = shippingTexts(splitCorpus(loadSotu().documents, SPLIT_SEED));
if (heads.taught === undefined) {
  heads.taught = await taughtBy({ model, taught: nothingTaught }, train);
  await writeHeads(join(values.model, "heads"), heads);
}
const shippedBefore = (await readJson(join(values.model, "shipped.json"))) as {
  readonly calibrationDocuments: number;
  readonly testDocuments: number;
};
const records = await record(calibration.slice(0, shippedBefore.calibrationDocuments));
const testRecords = await record(test.slice(0, shippedBefore.testDocuments));
const levels: ShippedLevel[] = [];
for (const level of [99, 95, 90, 80]) {
  const path = join(folder, `${level}.json`);
  const before = (await readJson(path)) as Certificate;
  const certificate = await certifyAgain(records, before);
  const { verdict, reasons } = await verifyCertificate(certificate, { records, heads });
  if (verdict !== "reproduced") throw new Error(`recertify: ${level} is ${verdict}: ${reasons.join("; ")}`);
  await writeFileAtomic(path, `${JSON.stringify(certificate)}\n`);
  levels.push({ agreement: level / 100, certificate, test: playPolicy(testRecords, certificate.policy) });
  console.log(`${level} %: ${summary(before)} before, now ${summary(certificate)}`);
}
await writeCard(levels);
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

function record(texts: Parameters<typeof recordDocuments>[1]): Promise<CalibrationRecords> {
  return recordDocuments(heads, texts, {
    onDocument: ({ document, documents }) => {
      if (document % 100 === 0) console.error(`recorded ${document}/${documents}`);
    },
  });
}

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
  });
  const known = { ...settings, knownCosts: costs };
  const evidence = recordedEvidence(from, await arrange(from.documents, known));
  return (await certify(evidence, known)).certificate;
}

function summary({ policy, measured, groups }: Certificate): string {
  const thresholds = policy.exits.map(({ threshold }) =>
    typeof threshold === "number" ? threshold.toFixed(4) : threshold,
  );
  return (
    `${policy.score} ${thresholds.join(", ")}, agreement ${measured.documentAgreement.toFixed(4)}, depth ` +
    `${measured.meanDepth.toFixed(2)}, design effect by speech ${String(groups.designEffect)}`
  );
}

/** shipped.json and the model card, with the new levels. */
async function writeCard(made: readonly ShippedLevel[]): Promise<void> {
  const shipped = (await readJson(join(values.model, "shipped.json"))) as ShippedFacts;
  const renewed = {
    ...shipped,
    levels: made.map(shippedLevel),
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    libraryVersion,
  };
  await writeShipped(values.model, renewed, made[0]!.certificate.documents.length);
}
