/**
 * Makes what the playground shows of the embedded model: its exit heads and certificates as they ship, and operating
 * points. A point is the policy of a certificate, and that of the published procedure for the same level, each with its
 * results on test documents that played no part in either. Both fill keys and values in the way that is exact for this
 * model. Writes playground/public/model; and playground/public/exits, which has the exits that ship for other models.
 * Git ignores both. Does nothing if they were made from the same files and settings.
 *   tsx lab/playground-data.ts [--force]
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { exactFill, libraryVersion, type Policy } from "early-exits";
import {
  calibratePaper,
  type CalibrationRecords,
  checkCertificate,
  playPolicy,
  recordDocuments,
} from "early-exits/calibrate";
import { createDevice, fileExists, readHeads, readJson, readModel, writeFileAtomic } from "early-exits/node";
import type {
  CertifiedPoint,
  ExitsIndex,
  Measured,
  OperatingPoint,
  OperatingPoints,
  Point,
} from "../playground/src/engine/index.js";
import { embeddedModel } from "../apps/cli/demo/demo.js";
import { folderOfPolicies } from "../src/calibrate/open-policy.js";
import { readDocuments } from "./ship/embedded.js";
import { SAMPLING } from "./ship/sampled.js";

/** The most documents to calibrate the published procedure on, and to test all policies on. */
const DOCUMENTS = 400;

/** Models whose exits ship without them. */
const OTHERS = ["smollm2-135m-instruct"] as const;

const root = join(import.meta.dirname, "..");
const target = join(root, "playground/public/model");
const exitsTarget = join(root, "playground/public/exits");

const device = await createDevice("auto");
const model = await readModel(embeddedModel, { device });
const stamp = await stampOf();
const before = (await readJson(join(target, "points.json")).catch(() => undefined)) as OperatingPoints | undefined;
if (before?.stamp === stamp && !process.argv.includes("--force")) process.exit(0);

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
for (const name of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
  await cp(join(embeddedModel, name), join(target, name));
}
for (const name of ["heads.json", "heads.safetensors"]) {
  await cp(join(embeddedModel, "heads", name), join(target, name));
}
await cp(join(embeddedModel, "certificates"), join(target, "certificates"), {
  recursive: true,
  filter: (path) => !path.includes(`${sep}int8`),
});

const heads = await readHeads(target, model);
const fill = exactFill(model.config);
const texts = await readDocuments(embeddedModel);
const calibration = await record(texts.calibration, "calibration");
const test = await record(texts.test, "test");
const points: OperatingPoint[] = [];
for (const file of await certificateFiles(embeddedModel)) points.push(await pointOf(file));
points.sort((a, b) => a.agreement - b.agreement);
await writeFileAtomic(
  join(target, "points.json"),
  JSON.stringify({
    format: "early-exits/operating-points",
    version: 3,
    stamp,
    libraryVersion,
    model: relative(root, embeddedModel),
    points,
    test: {
      documents: test.documents.length,
      tokens: playPolicy(test, points[0]!.certified.policy).positions,
    },
  } satisfies OperatingPoints),
);
console.error(`${relative(root, target)}: ${points.length} operating points`);

await rm(exitsTarget, { recursive: true, force: true });
const exits: ExitsIndex["exits"][number][] = [];
for (const name of OTHERS) exits.push(await copyExits(name));
const index: ExitsIndex = { format: "early-exits/exits-index", version: 1, exits };
await writeFileAtomic(join(exitsTarget, "index.json"), JSON.stringify(index));
await device.dispose();

/** A hash of the model, the files next to it and this script: everything that the result depends on but the library. */
async function stampOf(): Promise<string> {
  const hash = createHash("sha256")
    .update(await model.hash())
    .update(await readFile(import.meta.filename));
  for (const folder of [embeddedModel, ...OTHERS.map((name) => join(root, "models", name))]) {
    const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const file of files) hash.update(relative(root, file)).update(await readFile(file));
  }
  return hash.digest("hex");
}

function record(documents: readonly string[], name: string): Promise<CalibrationRecords> {
  const recorded = documents.slice(0, DOCUMENTS);
  console.error(`recording ${recorded.length} documents for ${name}`);
  return recordDocuments(heads, recorded);
}

/** Copies the exits that ship for a model, with operating points that were not tested here. */
async function copyExits(name: string): Promise<ExitsIndex["exits"][number]> {
  const from = join(root, "models", name);
  const to = join(exitsTarget, name);
  await cp(join(from, "heads"), to, { recursive: true });
  const certified: OperatingPoint[] = [];
  for (const file of await certificateFiles(from)) {
    await cp(join(from, file), join(to, file));
    const point = await certifiedPoint(to, file);
    certified.push({ agreement: point.policy.agreement!, certified: point });
  }
  certified.sort((a, b) => a.agreement - b.agreement);
  const content: OperatingPoints = {
    format: "early-exits/operating-points",
    version: 3,
    stamp,
    libraryVersion,
    model: name,
    points: certified,
  };
  await writeFileAtomic(join(to, "points.json"), JSON.stringify(content));
  return { name, folder: `${name}/`, modelHash: certified[0]!.certified.policy.modelHash! };
}

/** Of greedy text and the usual dtype; certificates for others lie in folders. */
async function certificateFiles(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, "certificates"));
  return names.filter((name) => name.endsWith(".json")).map((name) => `certificates/${name}`);
}

async function certifiedPoint(folder: string, file: string): Promise<CertifiedPoint> {
  return { policy: checkCertificate(await readJson(join(folder, file))).policy, certificate: file };
}

async function pointOf(file: string): Promise<OperatingPoint> {
  const { policy, certificate } = await certifiedPoint(target, file);
  const agreement = policy.agreement!;
  const paper = calibratePaper(calibration, { agreement, fill });
  const point = (of: Policy): Point => ({ policy: of, test: measure(of) });
  const drawn = file.replace("/", `/${folderOfPolicies(SAMPLING)}`);
  const isDrawn = await fileExists(join(target, drawn));
  return {
    agreement,
    paper: point(paper.policy),
    certified: { ...point(policy), certificate },
    ...(isDrawn && { sampled: await certifiedPoint(target, drawn) }),
  };
}

function measure(policy: Policy): Measured {
  const { agreement, coverage, meanDepth, exits } = playPolicy(test, policy);
  return { agreement, coverage, meanDepth, exits: exits.map(({ depth, reached, left }) => ({ depth, reached, left })) };
}
