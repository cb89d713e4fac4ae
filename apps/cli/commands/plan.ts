/**
 * `early-exits plan`: a model's architecture and memory, and whether exits can pay, by kind of head and placement: from
 * the configuration alone, or with --heads and --text from measured times and agreement. Weights are read only to
 * --check them, and to measure.
 */
import { type ExitHeads, type FillName, fillNames, measureUnitTimes, planExits, type ScoreName } from "early-exits";
import { calibratePaper, type CalibrationRecords, feasibility } from "early-exits/calibrate";
import {
  bestDraftLength,
  breakEven,
  type BreakEvenRow,
  defaultKind,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanCosts,
} from "early-exits/exits";
import { checkWeights, type DamagedTensor, type ModelConfig, type ModelDtype } from "early-exits/model";
import { describeModel, libraryDefaults, type ModelDescription, readHeads, readTensorSource } from "early-exits/node";
import { coarseBytes } from "early-exits/tensor";
import { type CommandDefinition, type OptionDefinition, type SettingsOf, withDefaults } from "../command.js";
import { readGrouped, recordAll } from "../documents.js";
import { bytes, count, percent, table, times } from "../format.js";
import { colorsOf, type Io, refuseIf, writeResult } from "../io.js";
import { feasibilityLines } from "../calibration-lines.js";
import { commandLine, nextLines } from "../next-lines.js";
import { findModel, modelDefaults, openModel } from "../open-model.js";
import {
  fileToWrite,
  agreementOption,
  documentsOption,
  fillOption,
  headsOption,
  heldOutTextOption,
  modelFolder,
  modelOptions,
} from "../options.js";
import { shippedInstead } from "../shipped.js";
import { writeTimes } from "../times-file.js";

const defaults = {
  ...modelDefaults,
  fill: libraryDefaults.plan.fill,
  agreement: libraryDefaults.certify.agreement,
} as const;

const options = [
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
  {
    flags: "--times <file>",
    description: "with --heads: write the measured times there, for calibrate --costs",
    parse: fileToWrite,
  },
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type PlanSettings = SettingsOf<typeof options, "dir">;

export const planCommand: CommandDefinition<PlanSettings> = {
  name: "plan",
  description:
    "Show a model, its memory, and whether exits can pay before any training; with heads and text, from " +
    "measurements on this machine",
  positional: [modelFolder],
  options,
  defaults,
  examples: ["plan sotu-12", "plan path/to/model.gguf --check", "plan my-model --heads heads --text held.txt"],
  run,
};

async function run(settings: PlanSettings, io: Io): Promise<void> {
  const { dir, heads, text, fill, dtype, unembedding, agreement, json } = withDefaults(defaults, settings);
  refuseIf(
    (heads === undefined) !== (text === undefined),
    "plan: --heads and --text go together: measurements need both",
  );
  refuseIf(
    settings.times !== undefined && heads === undefined,
    "plan: --times needs --heads and --text, with which times are measured",
  );
  const { path } = await findModel(io, dir);
  const model = await describeModel(path, settings);
  const { budgets, check } = settings;
  const { signal } = io;
  const damaged =
    check === true ? await checkWeights(await readTensorSource(path, { budgets }), { signal }) : undefined;
  const { config, tokenizer, ...tensors } = model;
  const storedAs = dtype ?? (path.toLowerCase().endsWith(".gguf") ? "stored" : "float32");
  // Without a measurement, "auto" promises nothing.
  const finalHeadShare = unembedding === "screened" ? screenedShare(config, storedAs) : 1;
  const plans = planExits(config, { fill, finalHeadShare });
  const measured = heads === undefined || text === undefined ? null : await measure(settings, heads, text, io);
  const trained = plans.filter(({ kind }) => kind === (defaultKind(config) === "dense" ? "dense" : "linearPreview"));
  const chats = tokenizer?.chatTemplate !== undefined;
  const instead = tensors.parameters > MOST_SHIPPED ? [] : await shippedInstead(model, { dir, agreement, chats });
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
    measured === null ? planVerdict(trained) : measuredVerdict(measured),
    ...nextLines(...nextSteps(settings, trained, measured), ...instead),
  ]);
}

/** Parameters of the largest model that may be the package's: larger ones are not read for that. */
const MOST_SHIPPED = 2e8;

function nextSteps(
  { dir, heads, text, agreement, dtype }: PlanSettings,
  plans: readonly BreakEvenRow[],
  measured: MeasuredPlan | null,
): string[] {
  if (measured?.scores.some(({ speedup }) => speedup > 1) === true) {
    return [commandLine("calibrate", [dir], { heads, text, agreement, dtype, out: "policy.json" })];
  }
  if (plans.every(({ coverage }) => coverage === null)) {
    return [commandLine("generate", [dir], { prompt: "Once upon a time" })];
  }
  return [
    commandLine("train", [dir], { text: "corpus.txt", out: "heads" }),
    commandLine("train", [dir], { self: true, out: "heads" }),
  ];
}

/** Share of the unembedding's bytes (stored as `dtype`) that screening reads; 1 if that saves nothing. */
function screenedShare({ vocabSize, hiddenSize }: ModelConfig, dtype: ModelDtype): number {
  const bytes = dtype === "float32" ? 4 : dtype === "bfloat16" ? 2 : undefined; // integers are not screened
  return bytes === undefined ? 1 : Math.min(1, coarseBytes(vocabSize, hiddenSize) / (bytes * vocabSize * hiddenSize));
}

async function measure(settings: PlanSettings, headsFolder: string, text: string, io: Io) {
  const { agreement } = withDefaults(defaults, settings);
  const model = await openModel(io, settings.dir, settings);
  const heads = await readHeads(headsFolder, model);
  const projected = heads.heads.every(({ projection }) => projection !== undefined);
  const fill: FillName = settings.fill ?? (projected ? defaults.fill : "lazy");
  const documents = await readGrouped(text, model);
  const records = await recordAll(io, "record", heads, documents.slice(0, settings.documents));
  const times = await measureUnitTimes(heads, { fill });
  if (settings.times !== undefined) await writeTimes(settings.times, times);
  const costs = measuredCosts(model.config.numLayers, heads.depths, times);
  const scores: { score: ScoreName; coverage: number[]; agreement: number; speedup: number }[] = [];
  for (const score of heads.scores) {
    const { certificate, policy } = calibratePaper(records, { agreement, score, fill });
    const coverage = certificate.measured.exits.map(({ left, reached }) => (reached === 0 ? 0 : left / reached));
    // A head that no token may leave at is not evaluated either.
    const used = costs.heads.map((head, exit) => (policy.exits[exit]!.threshold === "never" ? 0 : head));
    const cost = lossyCost({ ...costs, heads: used }, coverage);
    scores.push({ score, coverage, agreement: certificate.measured.agreement, speedup: plainCost(costs) / cost });
  }
  const feasible = feasibility(records, { agreement }).map((one, exit) => ({ depth: heads.depths[exit]!, ...one }));
  const result = {
    device: model.device.backend,
    fill,
    agreement,
    plain: plainCost(costs), // milliseconds per token
    breakEven: breakEven(costs).coverage,
    scores,
    feasibility: feasible,
    lossless: losslessPlans(heads, records, costs),
  };
  heads.dispose();
  model.dispose();
  return result;
}

/** Drafting at one exit, whatever its score: acceptance on the text and the best number of drafts. At depth L none. */
function losslessPlans(heads: ExitHeads, records: CalibrationRecords, costs: PlanCosts) {
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

type Styles = ReturnType<typeof colorsOf>;

type MeasuredPlan = Awaited<ReturnType<typeof measure>>;

function planLines(plans: readonly BreakEvenRow[], fill: FillName, { bold, dim }: Styles): string[] {
  return [
    bold(`from config.json, in multiply-adds (fill ${fill}):`),
    ...table([
      ["heads", "depths", "head", "break-even", "at most", "lossless from", "at most"],
      ...plans.map(({ kind, depths, headInBlocks, coverage, limit, lossless }) => [
        kind,
        depths.join(" "),
        `${headInBlocks.toFixed(2)} blocks`,
        share(coverage),
        times(limit),
        lossless.acceptance === null ? "never" : `${percent(lossless.acceptance, 0)} at ${lossless.depth}`,
        times(lossless.limit),
      ]),
    ]),
    dim(
      "break-even: the share of the tokens reaching each exit that must leave there. lossless from: the share of the " +
        `drafts that must be accepted, if they are verified in a batch and each further row costs ` +
        `${libraryDefaults.plan.furtherRow} times the first.`,
    ),
  ];
}

/** Verdict by counts, of the kind that train makes: the placement that needs the fewest tokens to leave. */
function planVerdict(plans: readonly BreakEvenRow[]): string {
  const best = plans.filter(({ coverage }) => coverage !== null).toSorted((a, b) => a.coverage! - b.coverage!)[0];
  if (best === undefined) {
    return (
      "verdict: exits cannot pay here, with no placement and no kind of head, however it is trained: a head costs " +
      "more than the blocks it can save"
    );
  }
  return (
    `verdict: ${worth(best.coverage!)}: ${best.kind} heads, as train makes them, at depths ` +
    `${best.depths.join(", ")} break even if ${share(best.coverage)} of the tokens leave, and are worth ` +
    `${times(best.limit)} if all leave at the first, which none do`
  );
}

function worth(coverage: number): string {
  if (coverage <= 0.25) return "exits can pay";
  return coverage <= 0.6 ? "exits pay only if the heads are good" : "exits hardly pay";
}

/** Verdict by measurement: the score whose thresholds are worth most. */
function measuredVerdict({ scores, agreement, device }: MeasuredPlan): string {
  const best = scores.toSorted((a, b) => b.speedup - a.speedup)[0]!;
  const level = percent(agreement, 0);
  if (best.speedup <= 1) {
    return `verdict: these heads cannot pay at ${level} agreement on this machine: ${times(best.speedup)} at best`;
  }
  return (
    `verdict: these heads can be worth ${times(best.speedup)} at ${level} agreement on this machine (${device}), by ` +
    `${best.score}; calibrate certifies that, and times it`
  );
}

function measuredPlanLines(measured: MeasuredPlan, { bold }: Styles): string[] {
  const { device, fill, agreement, plain, breakEven, scores, lossless } = measured;
  return [
    "",
    bold(
      `measured here (${device}, fill ${fill}), with thresholds for ${percent(agreement, 0)} agreement chosen on ` +
        "this same text:",
    ),
    `plain decoding takes ${plain.toFixed(3)} ms per token; exits break even if ${share(breakEven)} of the tokens ` +
      "reaching each exit leave there",
    ...table([
      ["score", "leave", "agreement", "predicted"],
      ...scores.map((row) => [
        row.score,
        row.coverage.map((part) => percent(part, 0)).join(" "),
        percent(row.agreement),
        times(row.speedup),
      ]),
    ]),
    ...feasibilityLines(measured.feasibility),
    "lossless, if one exit always drafts, whatever its score:",
    ...table([
      ["depth", "accepted", "drafts", "predicted"],
      ...lossless.map((row) => [
        String(row.depth),
        percent(row.acceptance),
        String(row.draftLength),
        times(row.speedup),
      ]),
    ]),
  ];
}

function share(value: number | null): string {
  return value === null ? "never" : percent(value, 0);
}

/** `damaged`: tensors that hold NaN or infinity, if the weights were read. */
function modelLines(
  dir: string,
  description: ModelDescription,
  damaged: readonly DamagedTensor[] | undefined,
  { bold, yellow }: Styles,
): string[] {
  const { config, parameters, dtypes, missing, misshapen } = description;
  const stored = Object.entries(dtypes)
    .map(([dtype, values]) => `${dtype}${values === parameters ? "" : ` ${percent(values / parameters)}`}`)
    .join(", ");
  return [
    `${bold(dir)}: ${config.modelType}, ${count(parameters)} parameters stored as ${stored}`,
    ...table(rowsOf(description), { words: true }),
    ...(missing.length > 0 ? [yellow(`missing tensors: ${listOf(missing)}`)] : []),
    ...misshapen.map(({ name, expected, found }) =>
      yellow(`misshapen: ${name} should be [${expected.join(", ")}], found [${found.join(", ")}]`),
    ),
    ...(damaged?.length === 0 ? ["weights checked: all are finite numbers"] : []),
    ...(damaged ?? []).map(({ name, nan, infinite, first }) =>
      yellow(`damaged: ${name} holds ${nan} NaN and ${infinite} infinities, from value ${first} on`),
    ),
    "",
  ];
}

function rowsOf({ config, memory, tokenizer, unused }: ModelDescription): string[][] {
  const positions = config.rotary === undefined ? "learned" : `rotary (${config.rotary.dim} of ${config.headDim})`;
  const contexts = Object.entries(memory.tokens).map(([dtype, { float32 }]) => `${float32} beside ${dtype}`);
  const ends = config.eosTokenIds.length === 0 ? "none" : config.eosTokenIds.join(", ");
  return [
    [
      "blocks",
      `${config.numLayers} of width ${config.hiddenSize}, ${config.parallelResidual ? "parallel" : "sequential"}`,
    ],
    ["attention", `${config.numHeads} heads of ${config.headDim}, ${config.numKvHeads} for keys and values`],
    ["MLP", `${config.intermediateSize}, ${config.activation}${config.gatedMlp ? ", gated" : ""}`],
    ["vocabulary", `${config.vocabSize}, embeddings ${config.tieWordEmbeddings ? "tied" : "untied"}`],
    ["tokenizer", tokenizer === undefined ? "none" : `${tokenizer.vocabSize} entries`],
    ["special ids", `begin ${config.bosTokenId ?? "none"}, end ${ends}`],
    ["context", `${config.maxPositionEmbeddings} tokens, positions ${positions}`],
    ["weights", sizes(memory.weights)],
    ["KV cache", `of 1,000 tokens: ${sizes(memory.perToken, 1000)}`],
    ["in 4 GiB", `tokens of a text: ${contexts.join(", ")}`],
    ["unused tensors", listOf(unused)],
  ];
}

function sizes(byDtype: Readonly<Record<string, number>>, times = 1): string {
  return Object.entries(byDtype)
    .map(([dtype, size]) => `${bytes(times * size)} as ${dtype}`)
    .join(", ");
}

function listOf(names: readonly string[]): string {
  if (names.length === 0) return "none";
  return `${names.slice(0, 6).join(", ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}`;
}
