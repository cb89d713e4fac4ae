/**
 * What more than a linear map would bring on SmolLM2-135M-Instruct, for an exit after block 21:
 *   npx tsx lab/beyond/run.ts --stage maps|distil|report [--answers 600] [--held 48] [--threads 1] [--vectors 128]
 *   maps      a linear map, and one with a causal block of its own behind it, taught by the same answers
 *   distil    the model with low-rank changes, the loss of the full depth weighted by --weight, at the rate --lr
 *   report    bench/reports/beyond.md, from what the other stages kept, with unit times measured now
 * Answers are those of `npm run pretrained -- --stage answers`: --set greedy teaches, --set held-out judges. The model
 * runs in float32 here, whose gradients are not rounded.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { attachHeads, type ExitHeads, measureUnitTimes, type Model } from "early-exits";
import type { ExitHead } from "early-exits/exits";
import type { MarkedDocument, ModelDtype } from "early-exits/model";
import { createDevice, readHeads, readJson, readModel, writeFileAtomic } from "early-exits/node";
import { documentOf, readAnswers } from "../pretrained/index.js";
import { machine, reportsFolder, writeReport } from "../report/index.js";
import {
  beyondReport,
  compareMaps,
  type DistilPoint,
  type DistilRun,
  type DistilStep,
  type MapPoint,
  type MapsRun,
  selfDistil,
} from "./index.js";

/** Where the exit is. */
const DEPTH = 21;
const MAPS = { epochs: 3, learningRate: 5e-4, batchSize: 8, sequenceLength: 512 } as const;
const DISTIL = { rank: 16, batchSize: 8, points: 3, seed: 1 } as const;

const { values } = parseArgs({
  options: {
    stage: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    weight: { type: "string", default: "2" },
    lr: { type: "string", default: "5e-4" },
    /** Answers that teach, and answers that judge, at most. */
    answers: { type: "string", default: "600" },
    held: { type: "string", default: "48" },
    threads: { type: "string", default: "1" },
    vectors: { type: "string", default: "128" },
    out: { type: "string", default: reportsFolder },
  },
});
const file = join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
const kept = join(values.folder, ".kept");
const results = join(kept, "beyond");
const where = machine();

async function openModel(dtype: ModelDtype): Promise<Model> {
  const vectors = values.vectors === "256" ? 256 : 128;
  return readModel(file, { device: await createDevice("wasm", { threads: Number(values.threads), vectors }), dtype });
}

async function documents(): Promise<{ readonly taught: MarkedDocument[]; readonly held: MarkedDocument[] }> {
  const [greedy, heldOut] = await Promise.all(
    ["greedy", "held-out"].map((name) => readAnswers(join(kept, `${name}.jsonl`))),
  );
  const held = heldOut!.filter(({ split }) => split === "held");
  if (greedy!.length === 0 || held.length === 0) {
    throw new Error("no answers; write them: npm run pretrained -- --stage answers --set greedy, and --set held-out");
  }
  return {
    taught: greedy!.slice(0, Number(values.answers)).map(documentOf),
    held: held.slice(0, Number(values.held)).map(documentOf),
  };
}

/** The shipped head after block 21. */
function linearHead({ heads }: ExitHeads): ExitHead {
  return heads.find(({ depth }) => depth === DEPTH)!;
}

async function maps(): Promise<void> {
  const model = await openModel("float32");
  const { taught, held } = await documents();
  const points: MapPoint[] = [];
  await compareMaps(model, DEPTH, { taught, held }, MAPS, {
    async onPoint(point) {
      points.push(point);
      console.error(JSON.stringify(point));
      const run: MapsRun = { recipe: MAPS, answers: taught.length, tokens: tokensOf(taught), machine: where, points };
      await writeFileAtomic(join(results, "maps.json"), JSON.stringify(run));
    },
    onStep: noteStep,
  });
}

async function distil(): Promise<void> {
  const model = await openModel("float32");
  const shipped = await readHeads(join(values.folder, "heads"), model);
  const heads = attachHeads(model, { exits: [DEPTH], map: "linear", vocabulary: "full" });
  await heads.ready();
  const [head] = heads.heads;
  head!.weights = { ...head!.weights, ...linearHead(shipped).mapWeights };
  const { taught, held } = await documents();
  const recipe = { ...DISTIL, fullWeight: Number(values.weight), learningRate: Number(values.lr) };
  const points: DistilPoint[] = [];
  await selfDistil(heads, taught, held, recipe, {
    async onPoint(point) {
      points.push(point);
      console.error(JSON.stringify(point));
      const run: DistilRun = { recipe, answers: taught.length, tokens: tokensOf(taught), machine: where, points };
      await writeFileAtomic(join(results, `distil-${values.weight}.json`), JSON.stringify(run));
    },
    onStep: noteStep,
  });
}

function noteStep({ step, steps, loss, tokensPerSecond }: DistilStep): void {
  console.error(`step ${step}/${steps}: loss ${loss.toFixed(3)}, ${tokensPerSecond.toFixed(0)}/s`);
}

async function report(): Promise<void> {
  const names = await readdir(results);
  const read = async <T>(name: string): Promise<T> => (await readJson(join(results, name))) as T;
  const model = await openModel("int8");
  const shipped = await readHeads(join(values.folder, "heads"), model);
  const { shortlist, preview } = linearHead(shipped).shape;
  const withBlock = attachHeads(model, {
    exits: [DEPTH],
    map: "block",
    vocabulary: "previewShortlist",
    shortlist: shortlist!,
    preview: preview!,
  });
  const timing = { context: 160, time: 4000 } as const;
  const times = await measureUnitTimes(shipped, { ...timing, fill: "project" });
  const [blockHead] = (await measureUnitTimes(withBlock, timing)).heads;
  const { held } = await documents();
  const made = beyondReport({
    where,
    depth: DEPTH,
    numLayers: model.config.numLayers,
    held: { answers: held.length, tokens: tokensOf(held) },
    times,
    blockHead: blockHead!,
    maps: await read<MapsRun>("maps.json"),
    distilled: await Promise.all(
      names.filter((name) => name.startsWith("distil-")).map((name) => read<DistilRun>(name)),
    ),
  });
  await writeReport(values.out, made);
  console.log(join(values.out, "beyond.md"));
}

function tokensOf(texts: readonly MarkedDocument[]): number {
  return texts.reduce((sum, { ids, from }) => sum + ids.length - (from ?? 0), 0);
}

const stages = { maps, distil, report } as const;
const stage = stages[values.stage as keyof typeof stages] as (() => Promise<void>) | undefined;
if (stage === undefined) {
  throw new Error(`--stage ${values.stage ?? "(none)"}: choose one of ${Object.keys(stages).join(", ")}`);
}
await mkdir(results, { recursive: true });
await stage();
process.exit(0);
