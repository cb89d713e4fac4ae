/**
 * Makes what the playground shows of the embedded model: exit heads (those that ship with the model, or else trained
 * here) and operating points, each calibrated on documents that the model never saw and measured on others. Writes
 * playground/public/model, which git ignores. Does nothing if that folder was made from the same model and settings.
 *   tsx lab/playground-data.ts [--force]
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { attachHeads, type ExitHeads, libraryVersion, type Model, type Policy, trainHeads } from "early-exits";
import { calibrateRecords, type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { createDevice, readHeads, readJson, readModel, writeFileAtomic, writeHeads } from "early-exits/node";
import type { Measured, OperatingPoint, OperatingPoints, Point } from "../playground/src/engine/index.js";
import { embeddedModel } from "../src/cli/index.js";
import { readDocuments } from "./ship/index.js";

const LEVELS = [0.8, 0.85, 0.9, 0.95, 0.98] as const;
const DELTA = 0.05;
/** How heads are trained if the model has none. */
const TRAINING = {
  exits: [2, 3, 4, 5],
  steps: 400,
  batchSize: 8,
  sequenceLength: 128,
  learningRate: 2e-3,
  seed: 1,
} as const;
/** The most documents to calibrate on, and to test on. */
const DOCUMENTS = 400;

const root = join(import.meta.dirname, "..");
const target = join(root, "playground/public/model");

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
const texts = await readDocuments(embeddedModel);
const heads = await shippedOrTrained(model, texts.train);
await writeHeads(target, heads);

const calibration = await record(heads, texts.calibration, "calibration");
const test = await record(heads, texts.test, "test");
const points: OperatingPoint[] = [];
for (const agreement of LEVELS) points.push(await pointAt(agreement, calibration, test));
await writeFileAtomic(
  join(target, "points.json"),
  JSON.stringify({
    format: "early-exits/operating-points",
    version: 1,
    stamp,
    libraryVersion,
    model: relative(root, embeddedModel),
    delta: DELTA,
    points,
    documents: {
      calibration: calibration.documents.length,
      test: test.documents.length,
      testTokens: playPolicy(test, points[0]!.paper.policy).positions,
    },
  } satisfies OperatingPoints),
);
console.error(`${relative(root, target)}: ${points.length} operating points`);
await device.dispose();

/** A hash of the model, the files next to it and this script: everything that the result depends on but the library. */
async function stampOf(): Promise<string> {
  const hash = createHash("sha256")
    .update(await model.hash())
    .update(await readFile(import.meta.filename));
  const files = (await readdir(embeddedModel, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) hash.update(relative(embeddedModel, file)).update(await readFile(file));
  return hash.digest("hex");
}

async function shippedOrTrained(model: Model, train: readonly string[]): Promise<ExitHeads> {
  const shipped = (await readdir(embeddedModel, { recursive: true })).find((path) => path.endsWith("heads.json"));
  if (shipped !== undefined) return readHeads(join(embeddedModel, shipped, ".."), model);
  const { exits, ...options } = TRAINING;
  const heads = attachHeads(model, {
    exits: exits.filter((depth) => depth < model.config.numLayers),
    seed: options.seed,
  });
  await trainHeads(heads, train, {
    ...options,
    onStep: ({ step, steps, loss, agreement }) => {
      if (step % 100 !== 0) return;
      const agreements = agreement.map((share) => share.toFixed(2)).join(" ");
      console.error(`heads: step ${step} of ${steps}, loss ${loss.toFixed(3)}, agreement ${agreements}`);
    },
  });
  return heads;
}

function record(heads: ExitHeads, documents: readonly string[], name: string): Promise<CalibrationRecords> {
  const recorded = documents.slice(0, DOCUMENTS);
  console.error(`recording ${recorded.length} documents for ${name}`);
  return recordDocuments(heads, recorded);
}

async function pointAt(
  agreement: number,
  calibration: CalibrationRecords,
  test: CalibrationRecords,
): Promise<OperatingPoint> {
  const paper = await calibrateRecords(calibration, { procedure: "paper", agreement });
  const certified = await calibrateRecords(calibration, { agreement, delta: DELTA });
  const point = (policy: Policy): Point => ({ policy, test: measure(policy, test) });
  return { agreement, certified: point(certified.policy), paper: point(paper.policy) };
}

function measure(policy: Policy, test: CalibrationRecords): Measured {
  const { agreement, coverage, meanDepth, exits } = playPolicy(test, policy);
  return { agreement, coverage, meanDepth, exits: exits.map(({ depth, reached, left }) => ({ depth, reached, left })) };
}
