/**
 * The study: what a backbone's recipe does for early exits. `npm run study [-- --models models/study] [--detail
 * models/sotu-12] [--prepare NAME]` Every model of the folder gets heads at the same relative depths, trained alike on
 * its own predictions; certificates at .95 and .90 from the same calibration segments; and is judged on the same test
 * segments and prompts. One model (`--detail`, the one that ships) is looked at more closely: scores, kinds of heads,
 * placements. Written: bench/reports/study.{json,md}. The models are made by `npm run pretrain -- --recipe … --out
 * models/study/…`; how each was made stands in its training.json. From nothing it takes about an hour of one core.
 * Trained heads and certified policies are kept in `--keep` and found again there. `--prepare NAME` makes only those of
 * one model (or of "detail"), so that the timing at the end can have a quiet machine.
 */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mean } from "d3-array";
import { createDevice, readJson, readModel } from "early-exits/node";
import { describeMachine, machine, type Report, toMarkdown, writeReport } from "./report/index.js";
import type { PretrainReport } from "../src/cli/index.js";
import { CHOICE_SEGMENTS, loadSotu, splitCorpus } from "./ship/index.js";
import { sampleSegments, segmentsOf, SPLIT_SEED } from "./pretrain.js";
import {
  backboneLosses,
  backboneSpeeds,
  backboneTable,
  detailTables,
  LEVELS,
  levelTable,
  losslessTable,
  plainSpeeds,
  type Studied,
  studyBackbone,
  type Texts,
  type WholeTexts,
} from "./study/index.js";

const TRAINING_SEGMENTS = 2000;

const fromRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      models: { type: "string", default: fromRoot("models/study") },
      detail: { type: "string", default: fromRoot("models/sotu-12") },
      keep: { type: "string", default: fromRoot("models/study/.kept") },
      prepare: { type: "string" },
      out: { type: "string", default: fromRoot("bench/reports") },
    },
  });
  const where = machine();
  const say = (line: string): void => console.error(line);
  say(describeMachine(where));
  const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
  const segments = (part: keyof typeof speeches, count: number): string[] =>
    sampleSegments(speeches[part], count, SPLIT_SEED).map(({ text }) => text);
  const texts: Texts = {
    train: segments("train", TRAINING_SEGMENTS),
    calibration: segments("calibration", CHOICE_SEGMENTS),
    test: segments("test", CHOICE_SEGMENTS),
  };
  const all = (part: keyof typeof speeches): string[] => speeches[part].flatMap(segmentsOf).map(({ text }) => text);
  const whole: WholeTexts = { validation: all("calibration"), test: all("test") };
  const device = await createDevice("wasm");
  const prepareBackbone = async (name: string) => {
    const model = await readModel(join(values.models, name), { device });
    const kept = join(values.keep, name);
    const prepared = await studyBackbone(model, texts, kept, sayOf(name));
    return { name, model, ...prepared, losses: await backboneLosses(model, whole, join(kept, "losses.json")) };
  };
  const sayOf =
    (name: string) =>
    (line: string): void =>
      say(`${name}: ${line}`);

  if (values.prepare !== undefined) {
    const name = values.prepare;
    if (name === "detail") {
      await detailTables(
        await readModel(values.detail, { device }),
        basename(values.detail),
        texts,
        join(values.keep, "detail"),
        sayOf(name),
      );
    } else await prepareBackbone(name);
    await device.dispose();
    return;
  }

  const names = (await readdir(values.models, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => name);
  const trainings = new Map<string, PretrainReport>();
  for (const name of names)
  // refused before the first hour, not after
  {
    trainings.set(name, (await readJson(join(values.models, name, "training.json"))) as PretrainReport);
  }
  // what the others are compared with
  const ordered = names.toSorted((a, b) => Number(b === "vanilla") - Number(a === "vanilla"));
  const prepared: Awaited<ReturnType<typeof prepareBackbone>>[] = [];
  for (const name of ordered) prepared.push(await prepareBackbone(name));
  const plain = await plainSpeeds(
    prepared.map(({ model }) => model),
    texts,
  );
  const studied: Studied[] = [];
  for (const [i, { name, heads, losses, studied: one }] of prepared.entries()) {
    studied.push({
      ...one,
      name,
      training: trainings.get(name)!,
      losses,
      plain: plain[i]!,
      speeds: await backboneSpeeds(heads, one, texts),
    });
    say(`${name}: timed`);
  }
  const detail = await detailTables(
    await readModel(values.detail, { device }),
    basename(values.detail),
    texts,
    join(values.keep, "detail"),
    sayOf("detail"),
  );
  const report: Report = {
    name: "study",
    title: "What a backbone's recipe does for early exits",
    machine: where,
    tables: [
      backboneTable(studied),
      ...LEVELS.map((_, level) => levelTable(studied, level)),
      losslessTable(studied),
      ...detail,
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
  await device.dispose();
}

if (process.argv[1]?.endsWith("study.ts")) await main();
