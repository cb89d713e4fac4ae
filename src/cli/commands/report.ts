/**
 * `early-exits report`: evaluates heads, scores and a policy on text, as tables, JSON or a chart. A certified policy is
 * judged as its certificate judges: for its sampling settings, and against its reference.
 */
import { type AgreementReport, type Policy, reportAgreement, type ScoreName, scoreNames } from "../../index.js";
import { type CalibrationRecords, policyFrom, reportDefaults } from "../../calibrate/index.js";
import { openCalibrationJob } from "../../calibrate/parts/index.js";
import { describeSampling, isPlainGreedy, samplingDefaults } from "../../model/decode/index.js";
import { readHeads, readJson, writeFileAtomic } from "../../node/index.js";
import type { CommandDefinition } from "../command.js";
import { readDocuments, recordAll } from "../documents.js";
import { percent, table } from "../format.js";
import { type CommonOptions, type Io, writeResult } from "../io.js";
import { commandLine, nextLines, reportVerdict } from "../lines/index.js";
import { modelDefaults, type ModelSettings, openModel, openReference } from "../open-model.js";
import {
  againstOption,
  documentsOption,
  headsOption,
  heldOutTextOption,
  modelFolder,
  modelOptions,
  samplingOf,
  samplingOptions,
  type SamplingSettings,
} from "../options.js";
import { openPlace, requireWhole, shardOptions, type ShardSettings, writeCalibrationPart } from "../spreading/index.js";
import { lineChart } from "../svg-chart.js";

export interface ReportSettings extends CommonOptions, ModelSettings, SamplingSettings, ShardSettings {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  readonly policy?: string | undefined;
  readonly score?: ScoreName | undefined;
  /** Whose tokens are right: those of the model as it is stored, or of its checkpoint as float32. */
  readonly against?: "same" | "float32" | undefined;
  readonly documents?: number | undefined;
  /** Where to write the agreement-coverage curves. */
  readonly svg?: string | undefined;
  readonly out?: string | undefined;
}

/** What a report shows of records. */
export interface ReportedOptions {
  readonly policy?: Policy;
  readonly score?: ScoreName;
}

export const reportCommand: CommandDefinition<ReportSettings> = {
  name: "report",
  description: "Evaluate heads and scores on held-out text: agreement by coverage, scores side by side, the oracle",
  positional: [modelFolder],
  options: [
    { ...headsOption, required: true },
    { ...heldOutTextOption, required: true },
    { flags: "--policy <file>", description: "evaluate this policy too" },
    {
      flags: "--score <score>",
      description: "score of the curves",
      choices: scoreNames,
      defaultNote: "with --policy, that of the policy",
    },
    againstOption,
    ...samplingOptions,
    documentsOption,
    { flags: "--svg <file>", description: "write the agreement-coverage curves to this file" },
    { flags: "--out <file>", description: "write the report to this file, as JSON" },
    ...shardOptions,
    ...modelOptions,
  ],
  // The library's own; with a certified policy, its certificate's.
  defaults: { ...modelDefaults, score: reportDefaults.score, against: "same", ...samplingDefaults },
  examples: [
    "report my-model --heads heads --text held.txt --policy policy.json --svg curves.svg",
    "report my-model --dtype int8 --against float32 --heads heads --text held.txt",
  ],
  run,
};

async function run(settings: ReportSettings, io: Io): Promise<void> {
  const { svg, out, score } = settings;
  const place = openPlace("report", settings);
  if (place !== undefined) requireWhole("report", { "--out": out, "--svg": svg }, "give it to early-exits merge");
  const model = await openModel(io, settings.dir, settings);
  const heads = await readHeads(settings.heads, model);
  const policy = settings.policy === undefined ? undefined : policyFrom(await readJson(settings.policy));
  const certified = policy?.certified;
  const otherwise = certified?.reference.kind === "other" ? "float32" : "same";
  const reference = await openReference(io, settings.dir, model, { against: otherwise, ...settings });
  const judged = {
    sampling: { ...certified?.sampling, ...samplingOf(settings) },
    ...(reference && { against: reference }),
  };
  const documents = (await readDocuments(settings.text)).documents.slice(0, settings.documents);
  const options: ReportedOptions = { ...(policy && { policy }), ...(score && { score }) };
  if (place === undefined) {
    const records = await recordAll(io, "report", heads, documents, judged);
    await finishReport(io, settings, records, options, [nextStep(settings)]);
  } else {
    const job = await openCalibrationJob(heads, documents, null, { ...judged, signal: io.signal });
    await writeCalibrationPart(io, "report", place, job, options);
  }
  heads.dispose();
  reference?.dispose();
  model.dispose();
}

/** A certificate; with a policy, its use. */
function nextStep({ dir, heads, text, policy, dtype }: ReportSettings): string {
  return policy === undefined
    ? commandLine("calibrate", [dir], { heads, text, dtype, out: "policy.json" })
    : commandLine("generate", [dir], { heads, policy, dtype, prompt: "Once upon a time" });
}

/** Reports on records: writes what was asked for, and prints it. */
export async function finishReport(
  io: Io,
  settings: Pick<ReportSettings, "json" | "svg" | "out">,
  records: CalibrationRecords,
  options: ReportedOptions,
  next: readonly string[] = [],
): Promise<void> {
  const { svg, out } = settings;
  const report = reportAgreement(records, options);
  if (svg !== undefined) await writeFileAtomic(svg, reportChart(report, options.policy?.agreement));
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(report)}\n`);
  writeResult(io, settings, report, [
    ...reportLines(report),
    ...(svg === undefined ? [] : [`chart: ${svg}`]),
    ...(out === undefined ? [] : [`report: ${out}`]),
    reportVerdict(report),
    ...nextLines(...next),
  ]);
}

function reportLines(report: AgreementReport): string[] {
  const { exits, score, oracle, policy, positions, documents, numLayers } = report;
  const at = (share: number): number => Math.max(0, Math.round(share * exits[0]!.curve.length) - 1);
  const covered = [0.2, 0.4, 0.6, 0.8, 1];
  return [
    ...judgedLines(report),
    `${positions} tokens of ${documents} documents. Agreement at each exit, as if it were the only one, over the ` +
      `most confident tokens by ${score}, with a 95 % band:`,
    ...table([
      ["exit", ...covered.map((share) => `${(100 * share).toFixed(0)} %`)],
      ...exits.map(({ depth, curve }) => [
        `depth ${depth}`,
        ...covered.map((share) => {
          const { agreement, low, high } = curve[at(share)]!;
          return `${(100 * agreement).toFixed(1)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
        }),
      ]),
    ]),
    "How well each score separates agreement from disagreement: AUROC (higher is better), mean risk over all " +
      "coverages (lower is better):",
    ...table([
      ["exit", ...Object.keys(exits[0]!.scores)],
      ...exits.map(({ depth, scores }) => [
        `depth ${depth}`,
        ...Object.values(scores).map(({ auroc, aurc }) => `${auroc?.toFixed(3) ?? "-"}, ${percent(aurc)}`),
      ]),
    ]),
    `Earliest agreeing exit (oracle): mean depth ${oracle.meanDepth.toFixed(2)} of ${numLayers}, ` +
      `${percent(oracle.cost)} of the full model's cost`,
    ...(policy === null
      ? []
      : [
          `This policy: mean depth ${policy.meanDepth.toFixed(2)}, ${percent(policy.cost)} of the cost, agreement ` +
            `${percent(policy.outcome.agreement)}; behind the oracle by ${policy.regret.meanDepth.toFixed(2)} blocks ` +
            `and ${percent(policy.regret.cost)} of the cost`,
        ]),
  ];
}

/** How tokens were judged, unless greedy ones were compared with the model's own. */
function judgedLines({ sampling, reference, withoutExits }: AgreementReport): string[] {
  const other = reference.kind === "other";
  return [
    ...(isPlainGreedy(sampling)
      ? []
      : [`For text by ${describeSampling(sampling)}: agreement is 1 - the mean total variation.`]),
    ...(other
      ? [`Against the ${reference.dtype} model, of which this one keeps ${percent(withoutExits)} without exits.`]
      : []),
  ];
}

/** Agreement of the most confident tokens against coverage, one line per exit. */
function reportChart({ exits, score, positions }: AgreementReport, target: number | undefined): string {
  const series = exits.map(({ depth, curve }) => ({
    label: `depth ${depth}`,
    points: curve.map(({ coverage, agreement, low, high }) => ({ x: coverage, y: agreement, low, high })),
  }));
  return lineChart(series, {
    title: `Agreement of the most confident tokens (${score}), ${positions} tokens`,
    xLabel: "share of tokens that leave",
    yLabel: "agreement",
    target,
  });
}
