/**
 * `early-exits plan`: a model's architecture and memory, and whether exits can pay, by kind of head and placement: from
 * the configuration alone, or with --heads and --text from measured times and agreement. Weights are read only to
 * --check them, and to measure.
 */
import { type ExitHeads, type FillName, fillNames, measureUnitTimes, planExits } from "early-exits";
import { calibratePaper, type CalibrationRecords, feasibility } from "early-exits/calibrate";
import {
  bestDraftLength,
  breakEven,
  type BreakEvenRow,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
} from "early-exits/exits";
import { checkWeights, type DamagedTensor, type ModelConfig, type ModelDtype } from "early-exits/model";
import { describeModel, libraryDefaults, readHeads, readTensorSource } from "early-exits/node";
import { coarseBytes } from "early-exits/tensor";
import { type CommandDefinition, withDefaults } from "../command.js";
import { readDocuments, recordAll } from "../documents.js";
import { colorsOf, type CommonOptions, type Io, UsageError, writeResult } from "../io.js";
import { findModel, modelDefaults, type ModelSettings, openModel } from "../open-model.js";
import { writeTimes } from "../times-file.js";
import {
  agreementOption,
  documentsOption,
  fillOption,
  headsOption,
  heldOutTextOption,
  modelFolder,
  modelOptions,
} from "../options.js";
import { commandLine, nextLines } from "../lines/next-lines.js";
import { type MeasuredPlan, measuredPlanLines, measuredVerdict, planLines, planVerdict } from "../lines/plan-lines.js";
import { modelLines } from "../lines/model-lines.js";

export interface PlanSettings extends CommonOptions, ModelSettings {
  readonly dir: string;
  readonly check?: boolean | undefined;
  readonly heads?: string | undefined;
  readonly text?: string | undefined;
  readonly fill?: FillName | undefined;
  /** Level of thresholds chosen on the text. */
  readonly agreement?: number | undefined;
  readonly documents?: number | undefined;
  readonly times?: string | undefined;
}

const defaults = {
  ...modelDefaults,
  fill: libraryDefaults.plan.fill,
  agreement: libraryDefaults.certify.agreement,
} as const;

export const planCommand: CommandDefinition<PlanSettings> = {
  name: "plan",
  description:
    "Show a model, its memory, and whether exits can pay before any training; with heads and text, from " +
    "measurements on this machine",
  positional: [modelFolder],
  options: [
    { flags: "--check", description: "read all weights, and name tensors that hold NaN or infinity" },
    {
      ...fillOption,
      choices: fillNames,
      defaultNote: "lazy for measured heads without learned keys and values",
    },
    { ...headsOption, description: "heads made by train, to time blocks, heads and fills on this machine" },
    { ...heldOutTextOption, description: `${heldOutTextOption.description}, to measure how many tokens would leave` },
    { ...agreementOption, description: `with --text: ${agreementOption.description}` },
    documentsOption,
    { flags: "--times <file>", description: "with --heads: write the measured times there, for calibrate --costs" },
    ...modelOptions,
  ],
  defaults,
  examples: ["plan sotu-12", "plan path/to/model.gguf --check", "plan my-model --heads heads --text held.txt"],
  run,
};

async function run(settings: PlanSettings, io: Io): Promise<void> {
  const { dir, heads, text, fill, dtype, unembedding, json } = withDefaults(defaults, settings);
  if ((heads === undefined) !== (text === undefined)) {
    throw new UsageError("plan: --heads and --text go together: measurements need both");
  }
  if (settings.times !== undefined && heads === undefined) {
    throw new UsageError("plan: --times needs --heads and --text, with which times are measured");
  }
  const { path } = await findModel(io, dir);
  const model = await describeModel(path, settings);
  const damaged = settings.check === true ? await checkTensors(path, settings, io) : undefined;
  const { config, tokenizer, ...tensors } = model;
  // Without a measurement, "auto" promises nothing.
  const finalHeadShare = unembedding === "screened" ? screenedShare(config, dtype) : 1;
  const plans = planExits(config, { fill, finalHeadShare });
  const measured = heads === undefined || text === undefined ? null : await measure(settings, heads, text, io);
  const special = tokenizer && { vocabSize: tokenizer.vocabSize, bosTokenId: tokenizer.bosTokenId ?? null };
  const result = {
    dir,
    config,
    ...tensors,
    tokenizer: special ?? null,
    damaged: damaged ?? null,
    fill,
    plans,
    measured,
  };
  writeResult(io, { json }, result, [
    ...modelLines(dir, model, damaged, colorsOf(io)),
    ...planLines(plans, fill, colorsOf(io)),
    ...(measured === null ? [] : measuredPlanLines(measured, colorsOf(io))),
    "",
    measured === null ? planVerdict(plans) : measuredVerdict(measured),
    ...nextLines(...nextSteps(settings, plans)),
  ]);
}

/** Returns the tensors that hold NaN or infinity. */
async function checkTensors(path: string, { budgets }: PlanSettings, { signal }: Io): Promise<DamagedTensor[]> {
  return checkWeights(await readTensorSource(path, { budgets }), { signal });
}

function nextSteps({ dir, heads, text, agreement, dtype }: PlanSettings, plans: readonly BreakEvenRow[]): string[] {
  if (heads !== undefined) {
    return [commandLine("calibrate", [dir], { heads, text, agreement, dtype, out: "policy.json" })];
  }
  if (plans.every(({ coverage }) => coverage === null)) {
    return [commandLine("generate", [dir], { prompt: "Once upon a time" })];
  }
  return [
    commandLine("train", [dir], { text: "corpus.txt", out: "heads" }),
    `${commandLine("train", [dir], { self: true, out: "heads" })} (on text of the model's own)`,
  ];
}

/** Share of the unembedding's bytes (stored as `dtype`) that screening reads; 1 if that saves nothing. */
function screenedShare({ vocabSize, hiddenSize }: ModelConfig, dtype: ModelDtype): number {
  const bytes = dtype === "float32" ? 4 : dtype === "bfloat16" ? 2 : undefined; // integers are not screened
  return bytes === undefined ? 1 : Math.min(1, coarseBytes(vocabSize, hiddenSize) / (bytes * vocabSize * hiddenSize));
}

async function measure(settings: PlanSettings, headsFolder: string, text: string, io: Io): Promise<MeasuredPlan> {
  const { agreement } = withDefaults(defaults, settings);
  const model = await openModel(io, settings.dir, settings);
  const heads = await readHeads(headsFolder, model);
  const projected = heads.heads.every(({ projection }) => projection !== undefined);
  const fill: FillName = settings.fill ?? (projected ? defaults.fill : "lazy");
  const { documents } = await readDocuments(text);
  const records = await recordAll(io, "record", heads, documents.slice(0, settings.documents));
  const times = await measureUnitTimes(heads, { fill, now: () => performance.now() });
  if (settings.times !== undefined) await writeTimes(settings.times, times);
  const costs = measuredCosts(model.config.numLayers, heads.depths, times);
  const scores: MeasuredPlan["scores"][number][] = [];
  for (const score of heads.scores) {
    const { certificate, policy } = calibratePaper(records, { agreement, score, fill });
    const coverage = certificate.measured.exits.map(({ left, reached }) => (reached === 0 ? 0 : left / reached));
    const used = policy.exits.map(({ threshold }) => threshold !== "never");
    const cost = lossyCost(usedCosts(costs, used), coverage);
    scores.push({ score, coverage, agreement: certificate.measured.agreement, speedup: plainCost(costs) / cost });
  }
  const feasible = feasibility(records, { agreement }).map((one, exit) => ({ depth: heads.depths[exit]!, ...one }));
  const result = {
    device: model.device.backend,
    fill,
    agreement,
    plain: plainCost(costs),
    breakEven: breakEven(costs).coverage,
    scores,
    feasibility: feasible,
    lossless: losslessPlans(heads, records, costs),
  };
  heads.dispose();
  model.dispose();
  return result;
}

/** A head that no token may leave at is not evaluated either. */
function usedCosts(costs: PlanCosts, used: readonly boolean[]): PlanCosts {
  return { ...costs, heads: costs.heads.map((head, exit) => (used[exit] ? head : 0)) };
}

/** Drafting at one exit, whatever its score: acceptance on the text and the best number of drafts. At depth L none. */
function losslessPlans(heads: ExitHeads, records: CalibrationRecords, costs: PlanCosts): MeasuredPlan["lossless"] {
  const positions = records.documents.reduce((sum, document) => sum + document.positions, 0);
  const { numLayers } = heads.model.config;
  return heads.depths.slice(0, heads.depths.at(-1) === numLayers ? -1 : undefined).map((depth, exit) => {
    const agreed = records.documents
      .flatMap((document) => Array.from(document.exits[exit]!.agrees))
      .reduce((sum, agrees) => sum + agrees, 0);
    const acceptance = agreed / positions;
    return { depth, acceptance, ...bestDraftLength(costs, exit, acceptance) };
  });
}
