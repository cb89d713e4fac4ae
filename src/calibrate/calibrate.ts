/**
 * From heads and held-out text to a certified policy: with probability 1 - delta over the draw of the calibration
 * documents, the policy keeps the agreement asked for on documents like them (certify/certify.ts). If nothing can be
 * certified, the policy never exits, and the certificate estimates how many more documents are needed. The published
 * calibration, without a guarantee, is in paper/.
 */
import { OptionError } from "../errors.js";
import { exactFill, isExactFill, requireFillFor } from "../exits/fill/fill.js";
import { type ExitHeads, requireHeads } from "../exits/heads/exit-heads.js";
import { answerLosses } from "../exits/plan/policy.js";
import { allNames, requireKnown, requireList } from "../known.js";
import { describeSampling, sameSampling, type SamplingOptions } from "../model/decode/sampling.js";
import { requireInside } from "../risk/check.js";
import type { Certified } from "./certify/certify.js";
import type { CertifyPolicyOptions, CertifySettings } from "./certify/settings.js";
import type { AnswerEvidenceOptions } from "./record/answers/answer-evidence.js";
import type { AnswerLossOptions, AnswerTask } from "./record/answers/losses.js";
import { arrange, requireGroups } from "./record/split.js";
import {
  type CalibrationDocument,
  type GroupedDocument,
  hashDocuments,
  judgedLength,
  partsOf,
} from "./record/documents.js";
import { type CalibrationRecords, recordDocuments, type RecordDocumentsOptions } from "./record/record.js";
import { countedEvidence, recordedEvidence, runIn, streamedEvidence } from "./record/evidence.js";
import { type OwnTextOptions, runOwnText } from "./record/own-text.js";
import type { PolicyRuns, RunCandidates } from "./record/policy-runs.js";
import type { RunPoliciesOptions } from "./record/run-policies.js";
import { judgedBy } from "./record/subject.js";
import { shown } from "../shown.js";

interface OwnTextCalibration extends Pick<OwnTextOptions, "maxNewTokens" | "batchSize" | "seed"> {
  /** Beginnings that the policies continue: held out, of the kind met in use. */
  readonly prompts: readonly CalibrationDocument[];
}

export interface CalibrateOptions
  extends CertifyPolicyOptions, RecordDocumentsOptions, Pick<RunPoliciesOptions, "batchSize" | "onRun"> {
  /**
   * Certifies on text that the policies write after these prompts; the documents then only propose the candidates. For
   * policies that generate: given text is another population. @default text as given
   */
  readonly ownText?: OwnTextCalibration;
}

const sharedNames = [
  "delta",
  "choices",
  "loss",
  "population",
  "unit",
  "score",
  "costs",
  "fill",
  "seed",
  "gridShare",
  "candidates",
  "sampling",
  "batchSize",
  "store",
  "signal",
] as const;
const optionNames = allNames<CalibrateOptions>()(
  ...sharedNames,
  "agreement",
  "against",
  "ownText",
  "sequenceLength",
  "onDocument",
  "onRun",
);

/** Options of claims about answers. */
export interface CalibrateAnswersOptions
  extends Omit<CertifyPolicyOptions, "agreement" | "loss">, AnswerLossOptions, AnswerEvidenceOptions {
  /** The largest mean loss that the claim allows, in (0, 1): 0.03 for 3 points of accuracy. */
  readonly epsilon: number;
}

const answerOptionNames = allNames<CalibrateAnswersOptions>()(
  ...sharedNames,
  "epsilon",
  "lossHash",
  "lossTimeout",
  "answers",
  "share",
  "onAnswer",
);

/**
 * Calibrates a policy on documents that the heads were not trained on; many short documents are worth more than a few
 * long ones. Throws an OptionError for levels outside (0, 1), text without documents, or NaN scores.
 *
 * With a loss of answers, documents are prompts: the full model and each candidate answer them as `generate` would, and
 * the claim is about the answers. Nothing is certified of some of them: an error names the first that is not legal.
 *
 * @example
 * ```ts
 * import { calibrate } from "early-exits";
 * import { readHeads, readJson, readModel } from "early-exits/node";
 *
 * const folder = "node_modules/early-exits/models/sotu-12";
 * const model = await readModel(folder);
 * const heads = await readHeads(`${folder}/heads`, model);
 * const { calibration } = (await readJson(`${folder}/documents.json`)) as { calibration: { text: string }[] };
 * const held = calibration.slice(0, 30).map(({ text }) => text.slice(0, 200));
 * const { policy, certificate } = await calibrate(heads, held, { agreement: 0.7, delta: 0.1 });
 * console.log(certificate.agreement, policy.exits.length); // 0.7 2
 * ```
 */
export async function calibrate(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options?: CalibrateOptions,
): Promise<Certified>;
export async function calibrate(
  heads: ExitHeads,
  prompts: readonly (string | AnswerTask)[],
  options: CalibrateAnswersOptions,
): Promise<Certified>;
export async function calibrate(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[] | readonly (string | AnswerTask)[],
  options: CalibrateOptions | CalibrateAnswersOptions = {},
): Promise<Certified> {
  requireHeads("calibrate", heads);
  requireList("calibrate: documents", documents);
  if (isOfAnswers(options)) return calibrateAnswers(heads, documents as readonly AnswerTask[], options);
  return calibrateTokens(heads, documents, options);
}

function isOfAnswers(options: object): options is CalibrateAnswersOptions {
  const { loss } = options as Partial<CalibrateAnswersOptions>;
  return typeof loss === "function" || answerLosses.some((name) => name === loss);
}

/** Certifies a mean loss of answers. */
async function calibrateAnswers(
  heads: ExitHeads,
  prompts: readonly (string | AnswerTask)[],
  options: CalibrateAnswersOptions,
): Promise<Certified> {
  requireKnown("calibrate", options, answerOptionNames);
  const { certify, certifySettings } = await import("./certify/certify.js");
  const { answerEvidence, answerJudge } = await import("./record/answers/answer-evidence.js");
  const { epsilon, ...others } = options;
  requireInside("calibrate: epsilon", epsilon);
  const judge = await answerJudge(options);
  const asked = { fill: exactFill(heads.model.config), candidates: 5, ...others };
  const settings = certifySettings({ ...asked, loss: judge.loss, agreement: 1 - epsilon }, [judge.loss]);
  requireFillFor(heads, settings.fill);
  return certify(await answerEvidence(heads, prompts, judge, options, { ...settings, epsilon }), settings);
}

async function calibrateTokens(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: CalibrateOptions,
): Promise<Certified> {
  requireKnown("calibrate", options, optionNames);
  const { certify, certifySettings } = await import("./certify/certify.js"); // loaded only when a program certifies
  const settings = certifySettings({ fill: exactFill(heads.model.config), ...options }); // refuses before any work
  const { fill } = settings;
  requireFillFor(heads, fill);
  if (options.ownText !== undefined) return calibrateOwnText(heads, documents, options.ownText, options, settings);
  const texts = await hashDocuments(heads, documents, judgedLength(heads.model, options));
  const arrangement = await arrange(texts, settings);
  return certify(await streamedEvidence(heads, arrangement, { ...options, fill }), settings);
}

/** Certifies on text that candidates write after prompts; all documents only propose candidates. */
async function calibrateOwnText(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  { prompts, ...writing }: OwnTextCalibration,
  options: CalibrateOptions,
  settings: CertifySettings,
): Promise<Certified> {
  const { certify, proposeCandidates } = await import("./certify/certify.js");
  if (settings.loss === "anyChange") {
    throw new OptionError(
      "option-conflict",
      'calibrate: ownText certifies the share of tokens that change, loss "token", not "anyChange"',
      { loss: settings.loss },
    );
  }
  const [proposing, testing] = [documents.map(partsOf), prompts.map(partsOf)];
  for (const list of [proposing, testing]) requireGroups(list, settings.unit);
  const known = new Set(proposing.map(sourceOf));
  const shared = testing.map(sourceOf).find((source) => known.has(source));
  if (shared !== undefined) {
    throw new OptionError(
      "groups-shared",
      `calibrate: ${shown(shared)} is among the documents, which propose candidates, and the prompts of ownText, ` +
        "which test them; give each to one of them",
      { shared },
    );
  }
  const records = await recordDocuments(heads, documents, options);
  const evidence = recordedEvidence(records, await arrange(records.documents, settings));
  const candidates = await proposeCandidates({ ...evidence, grid: evidence.documents.length }, settings);
  if (candidates.thresholds.length === 0) return certify(evidence, settings); // never exit: the full model's text
  const { sampling, against, signal, onRun } = options;
  const { sequenceLength } = records;
  const runs = await runOwnText(heads, prompts, candidates, {
    sampling,
    against,
    signal,
    onRun,
    sequenceLength,
    ...writing,
  });
  const { score } = candidates;
  return certify(countedEvidence(runs, await arrange(runs.documents, settings)), { ...settings, score });
}

/** Its group; of a document alone, the text, or the ids of the prompt. */
const sourceOf = ({ group, text, ids, from }: GroupedDocument): string =>
  group ?? text ?? ids!.slice(0, from ? from + 1 : undefined).join();

interface CalibrateRecordsOptions extends CertifyPolicyOptions {
  /** If given, it has to be the records' own. */
  readonly sampling?: SamplingOptions;
  /**
   * Counts of the candidates, run on the same documents in the same order (`runPolicies`): records do not show a fill
   * that changes other tokens. They hold at least the candidates of `proposeThresholds`.
   */
  readonly runs?: PolicyRuns;
}

/**
 * Calibrates from records: one recording serves every level, loss, score and seed. Fills that change other tokens also
 * need `runs`; throws an OptionError if they are missing, or of other documents.
 */
export async function calibrateRecords(
  records: CalibrationRecords,
  options: CalibrateRecordsOptions = {},
): Promise<Certified> {
  const { certify, certifySettings } = await import("./certify/certify.js");
  const settings = certifySettings(options);
  requireSampling(records, options.sampling);
  const arrangement = await arrange(records.documents, settings);
  const evidence = recordedEvidence(records, arrangement);
  if (isExactFill(settings.fill)) return certify(evidence, settings);
  const { runs } = options;
  if (runs === undefined) {
    const { fill } = settings;
    throw new OptionError(
      "fill-unrecorded",
      `calibrateRecords: with fill "${fill}" exits change other tokens, which records do not show; run the ` +
        "candidates of proposeThresholds (runPolicies) and give their runs, or use calibrate(heads, documents)",
      { fill },
    );
  }
  requireSameRuns(records, runs, settings);
  return certify({ ...evidence, run: runIn(runs, arrangement) }, { ...settings, score: runs.score });
}

function requireSampling(records: CalibrationRecords, asked: SamplingOptions | undefined): void {
  const { sampling } = judgedBy(records);
  if (asked === undefined || sameSampling(asked, sampling)) return;
  throw new OptionError(
    "records-sampling",
    `calibrateRecords: asked for is text by ${describeSampling(asked)}, but the records judge text by ` +
      `${describeSampling(sampling)}; record again with that sampling (recordDocuments), or leave it out`,
    { asked, sampling },
  );
}

/**
 * Proposes the candidates for a fill that changes other tokens from the grid split of records. Run them on the same
 * documents (`runPolicies`), and give the runs to `calibrateRecords` with the same options. Candidates of several
 * levels may run together, which reads the documents once.
 */
export async function proposeThresholds(
  records: CalibrationRecords,
  options: CertifyPolicyOptions,
): Promise<RunCandidates> {
  const { certifySettings, proposeCandidates } = await import("./certify/certify.js");
  const settings = certifySettings(options);
  return proposeCandidates(recordedEvidence(records, await arrange(records.documents, settings)), settings);
}

/** Throws an OptionError if runs were made of another subject, on other documents, or with another fill or score. */
function requireSameRuns(
  { documents, sequenceLength, ...subject }: CalibrationRecords,
  runs: PolicyRuns,
  { fill, score }: Pick<RunCandidates, "fill"> & { readonly score: string },
): void {
  const hashes = (list: readonly { readonly hash: string }[]) => list.map(({ hash }) => hash).join();
  const differing = [
    JSON.stringify(subject) !== JSON.stringify(runs.subject) && "model, heads or sampling",
    sequenceLength !== runs.sequenceLength && "judged length",
    hashes(documents) !== hashes(runs.documents) && "documents, or their order,",
    fill !== runs.fill && `fill (${runs.fill}, not ${fill})`,
    score !== "best" && score !== runs.score && `score (${runs.score}, not ${score})`,
  ].find((one) => one !== false);
  if (differing === undefined) return;
  throw new OptionError(
    "runs-misfit",
    `calibrateRecords: the ${differing} of the runs are not those of the records and the options; run the candidates ` +
      "of proposeThresholds on the documents that were recorded",
  );
}
