/** `early-exits report`: evaluates heads, scores and a policy on text, as tables, JSON or a chart. */
import { type AgreementReport, reportAgreement, type ScoreName, scoreNames } from "../../index.js";
import { policyFrom, reportDefaults } from "../../calibrate/index.js";
import { readHeads, readJson, writeFileAtomic } from "../../node/index.js";
import type { CommandDefinition } from "../command.js";
import { readDocuments, recordAll } from "../documents.js";
import { percent, table } from "../format.js";
import { type CommonOptions, type Io, writeResult } from "../io.js";
import { commandLine, nextLines, reportVerdict } from "../lines/index.js";
import { modelDefaults, type ModelSettings, openModel } from "../open-model.js";
import { documentsOption, headsOption, heldOutTextOption, modelFolder, modelOptions } from "../options.js";
import { lineChart } from "../svg-chart.js";

export interface ReportSettings extends CommonOptions, ModelSettings {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  readonly policy?: string | undefined;
  readonly score?: ScoreName | undefined;
  readonly documents?: number | undefined;
  /** Where to write the agreement-coverage curves. */
  readonly svg?: string | undefined;
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
    documentsOption,
    { flags: "--svg <file>", description: "write the agreement-coverage curves to this file" },
    ...modelOptions,
  ],
  defaults: { ...modelDefaults, score: reportDefaults.score }, // the library's own
  examples: ["report my-model --heads heads --text held.txt --policy policy.json --svg curves.svg"],
  run,
};

async function run(settings: ReportSettings, io: Io): Promise<void> {
  const model = await openModel(io, settings.dir, settings);
  const heads = await readHeads(settings.heads, model);
  const policy = settings.policy === undefined ? undefined : policyFrom(await readJson(settings.policy));
  const { documents } = await readDocuments(settings.text);
  const records = await recordAll(io, "report", heads, documents.slice(0, settings.documents));
  const report = reportAgreement(records, {
    ...(policy && { policy }),
    ...(settings.score && { score: settings.score }),
  });
  if (settings.svg !== undefined) await writeFileAtomic(settings.svg, reportChart(report, policy?.agreement));
  writeResult(io, settings, report, [
    ...reportLines(report),
    ...(settings.svg === undefined ? [] : [`chart: ${settings.svg}`]),
    reportVerdict(report),
    ...nextLines(nextStep(settings)),
  ]);
  heads.dispose();
  model.dispose();
}

/** A certificate; with a policy, its use. */
function nextStep({ dir, heads, text, policy, dtype }: ReportSettings): string {
  return policy === undefined
    ? commandLine("calibrate", [dir], { heads, text, dtype, out: "policy.json" })
    : commandLine("generate", [dir], { heads, policy, dtype, prompt: "Once upon a time" });
}

function reportLines({ exits, score, oracle, policy, positions, documents, numLayers }: AgreementReport): string[] {
  const at = (share: number): number => Math.max(0, Math.round(share * exits[0]!.curve.length) - 1);
  const covered = [0.2, 0.4, 0.6, 0.8, 1];
  return [
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
