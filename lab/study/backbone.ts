/**
 * One backbone of the study: heads trained on its own predictions, policies certified on calibration segments, what
 * they do on test segments. Minutes of work, so that what comes of it is kept in a folder (heads/, study.json) and
 * found again as long as the model is the same. Times are taken elsewhere, on a quiet machine (speeds.ts). Keys and
 * values: a backbone that shares them owes nothing for skipped blocks. For the others every candidate policy is run as
 * deployed, with propagated keys and values, so that the certificate is end to end there too.
 */
import { join } from "node:path";
import {
  type AttachOptions,
  attachHeads,
  calibrate,
  type ExitHeads,
  type FillName,
  type HeadLoss,
  measureUnitTimes,
  type Model,
  type Policy,
  trainGates,
  trainHeads,
  type WeightDtype,
} from "early-exits";
import type { HeadsDescription } from "early-exits/exits";
import {
  calibrateRecords,
  type CalibrationRecords,
  playPolicy,
  type PolicyOutcome,
  recordDocuments,
  runPolicies,
} from "early-exits/calibrate";
import { readHeads, readJson, writeFileAtomic, writeHeads } from "early-exits/node";
import { fileExists } from "../../src/node/index.js";
import { embeddedHeads } from "../../src/cli/index.js";
import { outcomeOfTally, tallyRuns } from "../../src/calibrate/record/index.js";

export const LEVELS = [0.95, 0.9] as const;
export const DELTA = 0.05;
/** Of the heads, 8 windows of 128 tokens each. */
export const STEPS = 600;

/**
 * Segments of speeches: heads learn on the first, policies are chosen and certified on the second, judged on the third.
 */
export interface Texts {
  readonly train: readonly string[];
  readonly calibration: readonly string[];
  readonly test: readonly string[];
}

export interface StudiedLevel {
  readonly agreement: number;
  readonly policy: Policy;
  /** On test segments, the policy run as deployed. */
  readonly test: PolicyOutcome;
}

/** What is kept of a backbone, beside its heads. */
export interface StudiedBackbone {
  readonly headsHash: string;
  readonly documents: number;
  readonly depths: readonly number[];
  /** Share of the test tokens at which each head says what the model says. */
  readonly agreement: readonly number[];
  readonly levels: readonly StudiedLevel[];
}

/** After a quarter, half and three quarters of the blocks, where the recipes have their intermediate losses. */
export function depthsOf({ config: { numLayers } }: Model): number[] {
  return [1, 2, 3].map((quarter) => Math.round((quarter * numLayers) / 4));
}

export function fillOf({ config: { numKvSharedLayers } }: Model): FillName {
  return numKvSharedLayers > 0 ? "shared" : "propagate";
}

export interface HeadRecipe extends Pick<AttachOptions, "kind" | "shortlist" | "inner"> {
  readonly depths: readonly number[];
  readonly dtype?: WeightDtype;
  readonly loss?: HeadLoss;
  /** Steps of training gates. @default none */
  readonly gates?: number;
}

/**
 * Heads of one recipe, trained like all others of the study; those that were kept in the folder, if they are this
 * model's.
 */
export async function studyHeads(
  model: Model,
  texts: Texts,
  kept: string,
  { depths, kind = "dense", dtype = embeddedHeads.dtype, loss = embeddedHeads.loss, gates = 0, ...rest }: HeadRecipe,
): Promise<ExitHeads> {
  const before = (await fileExists(join(kept, "heads.json")))
    ? ((await readJson(join(kept, "heads.json"))) as HeadsDescription)
    : undefined;
  if (before?.modelHash === (await model.hash())) return readHeads(kept, model);
  const heads = attachHeads(model, { exits: depths, kind, dtype, seed: 1, ...rest });
  await trainHeads(heads, texts.train, { steps: STEPS, seed: 1, learningRate: 2e-3, loss });
  if (gates > 0) await trainGates(heads, texts.train, { steps: gates, seed: 1 });
  await writeHeads(kept, heads);
  return heads;
}

/** The heads of a backbone and what policies do with them; from the folder where it was kept, if there. */
export async function studyBackbone(
  model: Model,
  texts: Texts,
  kept: string,
  say: (line: string) => void,
): Promise<{ readonly heads: ExitHeads; readonly studied: StudiedBackbone }> {
  const path = join(kept, "study.json");
  const before = (await fileExists(path)) ? ((await readJson(path)) as StudiedBackbone) : undefined;
  const heads = await studyHeads(model, texts, join(kept, "heads"), { depths: depthsOf(model) });
  if (before?.headsHash === (await heads.hash()) && before.documents === texts.calibration.length) {
    return { heads, studied: before };
  }
  say(`heads after blocks ${heads.depths.join(", ")} trained`);
  const test = await recordDocuments(heads, texts.test);
  const calibration = await recordDocuments(heads, texts.calibration);
  const fill = fillOf(model);
  const costs = await measureUnitTimes(heads, { fill });
  const levels: StudiedLevel[] = [];
  for (const agreement of LEVELS) {
    const options = { agreement, delta: DELTA, seed: 1, fill, costs } as const;
    const { policy } =
      fill === "shared"
        ? await calibrateRecords(calibration, options)
        : await calibrate(heads, texts.calibration, options);
    levels.push({
      agreement,
      policy,
      test: fill === "shared" ? playPolicy(test, policy) : await runOn(heads, texts.test, policy),
    });
    say(`certified ${agreement}: mean depth ${levels.at(-1)!.test.meanDepth.toFixed(2)} on test segments`);
  }
  const studied: StudiedBackbone = {
    headsHash: await heads.hash(),
    documents: texts.calibration.length,
    depths: heads.depths,
    agreement: agreementOf(test),
    levels,
  };
  await writeFileAtomic(path, `${JSON.stringify(studied)}\n`);
  return { heads, studied };
}

async function runOn(
  heads: ExitHeads,
  documents: readonly string[],
  { score, fill, exits }: Policy,
): Promise<PolicyOutcome> {
  const runs = await runPolicies(heads, documents, {
    score,
    fill,
    thresholds: [exits.map(({ threshold }) => threshold)],
  });
  return outcomeOfTally(tallyRuns(runs), 0, { depths: heads.depths, numLayers: heads.model.config.numLayers });
}

/** Share of all tokens at which each head says what the model says. */
export function agreementOf({ depths, documents }: CalibrationRecords): number[] {
  const tokens = documents.reduce((sum, { positions }) => sum + positions, 0);
  return depths.map(
    (_, exit) =>
      documents.reduce((sum, { exits }) => sum + exits[exit]!.agrees.reduce((agreed, one) => agreed + one, 0), 0) /
      tokens,
  );
}
