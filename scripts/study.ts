/**
 * The study: what a backbone's recipe does for early exits. `npm run study [-- --models models/study] [--detail NAME] [--documents 300]`
 * Every model of the folder gets dense heads after a quarter and half of its blocks, trained alike on its own predictions; certificates at
 * .95 and .90 from the same calibration segments; and is judged on the same test segments and prompts. One model (`--detail`, the one that
 * ships by default) is looked at more closely: scores, kinds of heads, placements. Written: bench/reports/study.{json,md}.
 * The models are made by `npm run pretrain -- --recipe … --out models/study/…`; how each was made stands in its training.json.
 * Keys and values: a backbone that shares them owes nothing for skipped blocks. For the others every candidate policy is run as deployed,
 * with propagated keys and values, so that the certificate is end to end there too.
 */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  attachHeads, calibrate, calibrateRecords, type CalibrationRecords, type Device, type ExitHeads, type HeadKind, type Model, playPolicy, type Policy, type PolicyOutcome, readModelConfig, recordDocuments, runPolicies, type ScoreName, scoreNames,
  trainHeads,
} from "early-exits";
import { createDevice, readJson, readModel } from "early-exits/node";
import { describeMachine, machine } from "../bench/measure.js";
import { type Report, type Table, toMarkdown, writeReport } from "../bench/report.js";
import { outcomeOfTally } from "../src/calibrate/outcome.js";
import { tallyRuns } from "../src/calibrate/policy-runs.js";
import { compareWays, type WayResult } from "../src/cli/compare-ways.js";
import type { PretrainReport } from "../src/cli/pretrain.js";
import { processIo } from "../src/cli/process-io.js";
import { loadSotu, splitCorpus } from "./corpus.js";
import { sampleSegments, SPLIT_SEED } from "./pretrain.js";

const LEVELS = [0.95, 0.9] as const;
const PROMPT_TOKENS = 24;
const NEW_TOKENS = 100;
const RUNS = 12;
/** Of the heads, 8 windows of 128 tokens each. */
const STEPS = 600;

interface Texts {
  readonly train: readonly string[];
  readonly calibration: readonly string[];
  readonly test: readonly string[];
}

interface Level {
  readonly agreement: number;
  readonly policy: Policy;
  /** On test documents, the policy run as deployed. */
  readonly test: PolicyOutcome;
  readonly greedy: WayResult;
}

interface Studied {
  readonly name: string;
  readonly training: PretrainReport;
  readonly depths: readonly number[];
  /** Share of the test tokens at which each head says what the model says. */
  readonly agreement: readonly number[];
  readonly levels: readonly Level[];
  readonly lossless: WayResult;
}

/** Trained heads of one kind at some depths, and what they said on the calibration and test documents. */
interface Prepared {
  readonly heads: ExitHeads;
  readonly calibration: CalibrationRecords;
  readonly test: CalibrationRecords;
}

async function prepare(model: Model, texts: Texts, depths: readonly number[], kind: HeadKind = "dense"): Promise<Prepared> {
  const heads = attachHeads(model, { exits: depths, kind, seed: 1 });
  await trainHeads(heads, texts.train, { steps: STEPS, seed: 1, learningRate: 2e-3 });
  console.error(`${kind} heads at ${depths.join(", ")} trained`);
  return { heads, calibration: await recordDocuments(heads, texts.calibration), test: await recordDocuments(heads, texts.test) };
}

async function studyModel(folder: string, device: Device, texts: Texts): Promise<Studied> {
  const training = (await readJson(join(folder, "training.json"))) as PretrainReport;
  const model = await readModel(folder, { device });
  const { numLayers, numKvSharedLayers } = model.config;
  const { heads, calibration, test } = await prepare(model, texts, [numLayers / 4, numLayers / 2]);
  const fill = numKvSharedLayers > 0 ? "shared" : "propagate";
  const levels: Omit<Level, "greedy">[] = [];
  for (const agreement of LEVELS) {
    const options = { agreement, delta: 0.05, seed: 1, fill } as const;
    const { policy } = fill === "shared" ? await calibrateRecords(calibration, options) : await calibrate(heads, texts.calibration, options);
    levels.push({ agreement, policy, test: fill === "shared" ? playPolicy(test, policy) : await runOn(heads, texts.test, policy) });
    console.error(`${basename(folder)} at ${agreement}: depth ${levels.at(-1)!.test.meanDepth.toFixed(2)}`);
  }
  const prompts = texts.test.slice(0, RUNS).map((text) => model.tokenizer.encode(text).slice(0, PROMPT_TOKENS));
  const ways = [{ name: "plain", options: {} }, ...levels.map(({ agreement, policy }) => ({ name: String(agreement), options: { policy } })), { name: "lossless", options: { policy: levels.at(-1)!.policy, lossless: true } }];
  const { results } = await compareWays(heads, ways, prompts, { runs: RUNS, maxNewTokens: NEW_TOKENS, budget: Infinity }, processIo());
  heads.dispose();
  model.dispose();
  return {
    name: basename(folder), training, depths: heads.depths, agreement: agreementOf(test),
    levels: levels.map((level, i) => ({ ...level, greedy: results[i + 1]! })), lossless: results.at(-1)!,
  };
}

async function runOn(heads: ExitHeads, documents: readonly string[], { score, fill, exits }: Policy): Promise<PolicyOutcome> {
  const runs = await runPolicies(heads, documents, { score, fill, thresholds: [exits.map(({ threshold }) => threshold)] });
  return outcomeOfTally(tallyRuns(runs), 0, { depths: heads.depths, numLayers: heads.model.config.numLayers });
}

function agreementOf({ depths, documents }: CalibrationRecords): number[] {
  const tokens = documents.reduce((sum, { positions }) => sum + positions, 0);
  return depths.map((_, exit) => documents.reduce((sum, { exits }) => sum + exits[exit]!.agrees.reduce((agreed, one) => agreed + one, 0), 0) / tokens);
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const times = ({ ratio: { median, low, high } }: WayResult): string => `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;

function recipeTable(studied: readonly Studied[]): Table {
  return {
    title: "Recipes",
    note: `Dense heads after a quarter and half of the blocks, ${STEPS} steps. Certified overall agreement per document, delta .05, end to end; depth and agreement on test documents; speedups over the same model's plain greedy decoding, medians of ${RUNS} interleaved runs of ${NEW_TOKENS} tokens with quartiles, one thread, float32. A model with half the blocks (twin) stands beside: what exits speed up may have been larger than it had to be.`,
    columns: ["model", "recipe", "shared K,V", "M parameters", "epochs", "validation loss", "head agreement", ...LEVELS.flatMap((level) => [`depth at ${level}`, `agreement at ${level}`, `speedup at ${level}`, `M multiply-adds at ${level}`]), "lossless"],
    rows: studied.map(({ name, training: { options, parameters, tokensSeen, trainingTokens, loss }, agreement, levels, lossless }) => [
      name, options.recipe, options.kvShared, parameters / 1e6, tokensSeen / trainingTokens, loss.validation.toFixed(3), agreement.map(percent).join(", "),
      ...levels.flatMap(({ test, greedy }) => [`${test.meanDepth.toFixed(2)} of ${options.layers}`, percent(test.documentAgreement), times(greedy), greedy.multiplyAdds / 1e6]),
      `${times(lossless)}${lossless.identical ? "" : " NOT IDENTICAL"}`,
    ]),
  };
}

/** Certified depth by score, kind of head and placement; for exact fills, from records. */
async function detailTables(folder: string, device: Device, texts: Texts): Promise<{ tables: Table[]; data: unknown }> {
  const model = await readModel(folder, { device });
  const { numLayers, numKvSharedLayers } = model.config;
  const fill = numKvSharedLayers > 0 ? "shared" : "lazy";
  const [quarter, half] = [numLayers / 4, numLayers / 2];
  const outcome = async ({ calibration, test }: Prepared, agreement: number, score?: ScoreName) => {
    const { policy, certificate } = await calibrateRecords(calibration, { agreement, delta: 0.05, seed: 1, fill, ...(score && { score }) });
    const cost = certificate.tests.flatMap(({ candidates, chosen }) => (chosen === "never" ? [certificate.costs.full] : [candidates[chosen]!.cost]))[0] ?? certificate.costs.full;
    return { score: policy.score, test: playPolicy(test, policy), saving: certificate.costs.full / cost };
  };
  const row = async (label: string, prepared: Prepared, score?: ScoreName): Promise<string[]> => {
    const cells: string[] = [];
    for (const level of LEVELS) {
      const { score: used, test, saving } = await outcome(prepared, level, score);
      cells.push(used, test.meanDepth.toFixed(2), percent(test.documentAgreement), saving.toFixed(2));
    }
    return [label, ...cells];
  };
  const columns = (first: string): string[] => [first, ...LEVELS.flatMap((level) => [`score at ${level}`, "depth", "agreement", "fewer multiply-adds, times"])];
  const base = await prepare(model, texts, [quarter, half]);
  const byScore: string[][] = [];
  for (const score of scoreNames) byScore.push(await row(score, base, score));
  const kinds: string[][] = [await row("dense", base)];
  for (const kind of ["tied", "lowRank", "mlp"] as const) kinds.push(await row(kind, await prepare(model, texts, [quarter, half], kind)));
  const placements: string[][] = [await row(`${quarter}, ${half}`, base)];
  for (const depths of [[half], [quarter, half, quarter + half], [half, quarter + half]]) placements.push(await row(depths.join(", "), await prepare(model, texts, depths)));
  model.dispose();
  const note = `${basename(folder)}, certified overall agreement per document, delta .05; depth and agreement on test documents; multiply-adds as the ledger prices them, heads included.`;
  return {
    data: { byScore, kinds, placements },
    tables: [
      { title: "Scores", note: `${note} Dense heads after blocks ${quarter} and ${half}.`, columns: columns("score"), rows: byScore },
      { title: "Kinds of heads", note: `${note} The best score of each.`, columns: columns("kind"), rows: kinds },
      { title: "Placements", note: `${note} Dense heads, the best score of each.`, columns: columns("exits after blocks"), rows: placements },
    ],
  };
}

const { values } = parseArgs({ options: { models: { type: "string", default: fileURLToPath(new URL("../models/study", import.meta.url)) }, detail: { type: "string", default: fileURLToPath(new URL("../models/sotu-12", import.meta.url)) }, documents: { type: "string", default: "300" }, out: { type: "string", default: fileURLToPath(new URL("../bench/reports", import.meta.url)) } } });
const where = machine();
console.error(describeMachine(where));
const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
const documents = Number(values.documents);
const texts: Texts = {
  train: sampleSegments(speeches.train, 2000, SPLIT_SEED).map(({ text }) => text),
  calibration: sampleSegments(speeches.calibration, documents, SPLIT_SEED).map(({ text }) => text), test: sampleSegments(speeches.test, documents, SPLIT_SEED).map(({ text }) => text),
};
const device = await createDevice("wasm");
const folders = (await readdir(values.models, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => join(values.models, name));
for (const folder of folders) readModelConfig(await readJson(join(folder, "config.json"))); // refused before the first hour, not after
const studied: Studied[] = [];
for (const folder of folders) studied.push(await studyModel(folder, device, texts));
const detail = await detailTables(values.detail, device, texts);
const report: Report = { name: "study", title: "What a backbone's recipe does for early exits", machine: where, tables: [recipeTable(studied), ...detail.tables], data: { studied, detail: detail.data } };
await writeReport(values.out, report);
console.log(toMarkdown(report));
await device.dispose();
