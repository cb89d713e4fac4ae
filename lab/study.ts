/**
 * The study: how a backbone's training recipe affects its early exits.
 *   npm run study [-- --models models/study] [--detail models/sotu-12] [--prepare NAME] [--keep FOLDER] [--out FOLDER]
 * Every model of the folder gets heads at the same relative depths, trained in the same way on its own predictions, and
 * certificates at 0.95 and 0.90 from the same calibration segments; it is judged on the same test segments and prompts.
 * One model (`--detail`, the one that ships) is examined more closely: scores, kinds of heads, placements. The report
 * is bench/reports/study.{json,md}. The models are made by `npm run pretrain -- --recipe … --out models/study/…`; the
 * training.json of each says how. From scratch the study takes about an hour of one core. Trained heads and certified
 * policies are kept in `--keep` and reused. `--prepare NAME` makes only those of one model (or of "detail"), so that
 * the timing at the end can have a quiet machine.
 */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mean } from "d3-array";
import type { Device, ExitHeads, Model } from "early-exits";
import { createDevice, readJson, readModel } from "early-exits/node";
import { describeMachine, machine } from "./report/machine.js";
import { type Report, type Table, toMarkdown, writeReport } from "./report/report.js";
import { reportsFolder } from "./report/script.js";
import { CHOICE_SEGMENTS } from "./ship/choices.js";
import { loadSotu, splitCorpus } from "./ship/corpus.js";
import { modelFolder } from "./ship/embedded.js";
import type { PretrainReport } from "./ship/pretrain-folder.js";
import { sampleSegments, segmentTexts, SPLIT_SEED } from "./ship/segments.js";
import { type BackboneLosses, backboneLosses, type WholeTexts } from "./study/losses.js";
import { backboneSpeeds, plainSpeeds } from "./study/speeds.js";
import { backboneTable, levelTable, losslessTable, type Studied } from "./study/tables.js";
import { detailTables } from "./study/detail.js";
import { LEVELS, type StudiedBackbone, studyBackbone, type Texts } from "./study/backbone.js";

const TRAINING_SEGMENTS = 2000;

const { values } = parseArgs({
  options: {
    models: { type: "string", default: fileURLToPath(new URL("../models/study", import.meta.url)) },
    detail: { type: "string", default: modelFolder("sotu-12") },
    keep: { type: "string", default: fileURLToPath(new URL("../models/study/.kept", import.meta.url)) },
    prepare: { type: "string" },
    out: { type: "string", default: reportsFolder },
  },
});

interface Study {
  readonly device: Device;
  readonly texts: Texts;
  readonly whole: WholeTexts;
}

async function main(): Promise<void> {
  const where = machine();
  console.error(describeMachine(where));
  const study = await openStudy();
  if (values.prepare === "detail") await detail(study);
  else if (values.prepare !== undefined) await prepare(study, values.prepare);
  else await writeStudy(study, where);
  await study.device.dispose();
}

async function openStudy(): Promise<Study> {
  const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
  const segments = (part: keyof typeof speeches, count: number): string[] =>
    sampleSegments(speeches[part], count, SPLIT_SEED).map(({ text }) => text);
  return {
    device: await createDevice("wasm"),
    texts: {
      train: segments("train", TRAINING_SEGMENTS),
      calibration: segments("calibration", CHOICE_SEGMENTS),
      test: segments("test", CHOICE_SEGMENTS),
    },
    whole: { validation: segmentTexts(speeches.calibration), test: segmentTexts(speeches.test) },
  };
}

async function writeStudy(study: Study, where: Report["machine"]): Promise<void> {
  const names = await modelNames();
  // Read before the first hour of work, so that a missing file is noticed now.
  const trainings = new Map<string, PretrainReport>();
  for (const name of names) {
    trainings.set(name, (await readJson(join(values.models, name, "training.json"))) as PretrainReport);
  }
  const prepared: Prepared[] = [];
  for (const name of names) prepared.push(await prepare(study, name));
  const plain = await plainSpeeds(
    prepared.map(({ model }) => model),
    study.texts,
  );
  const studied: Studied[] = [];
  for (const [i, { name, heads, losses, studied: one }] of prepared.entries()) {
    const speeds = await backboneSpeeds(heads, one, study.texts);
    studied.push({ ...one, name, training: trainings.get(name)!, losses, plain: plain[i]!, speeds });
    console.error(`${name}: timed`);
  }
  const report: Report = {
    name: "study",
    title: "What a backbone's recipe does for early exits",
    machine: where,
    tables: [
      backboneTable(studied),
      ...LEVELS.map((_, level) => levelTable(studied, level)),
      losslessTable(studied),
      ...(await detail(study)),
    ],
    data: {
      studied: studied.map(({ losses: { validation, test }, ...one }) => ({
        ...one,
        losses: { validation: mean(validation)!, test },
      })),
    },
  };
  await writeReport(values.out, report);
  console.log(toMarkdown(report));
}

/** The models of the folder. The first, vanilla, is what the others are compared with. */
async function modelNames(): Promise<string[]> {
  const entries = await readdir(values.models, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map(({ name }) => name);
  return names.sort((a, b) => Number(b === "vanilla") - Number(a === "vanilla"));
}

interface Prepared {
  readonly name: string;
  readonly model: Model;
  readonly heads: ExitHeads;
  readonly studied: StudiedBackbone;
  readonly losses: BackboneLosses;
}

/** Heads, policies and losses of one model. */
async function prepare({ device, texts, whole }: Study, name: string): Promise<Prepared> {
  const model = await readModel(join(values.models, name), { device });
  const kept = join(values.keep, name);
  const { heads, studied } = await studyBackbone(model, texts, kept, sayOf(name));
  const losses = await backboneLosses(model, whole, join(kept, "losses.json"));
  return { name, model, heads, studied, losses };
}

async function detail({ device, texts }: Study): Promise<Table[]> {
  return detailTables({
    model: await readModel(values.detail, { device }),
    name: basename(values.detail),
    texts,
    kept: join(values.keep, "detail"),
    say: sayOf("detail"),
  });
}

function sayOf(name: string): (line: string) => void {
  return (line) => console.error(`${name}: ${line}`);
}

await main();
