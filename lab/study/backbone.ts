/**
 * One backbone of the study: heads trained on its own predictions, policies certified on calibration segments and
 * judged on test segments. This takes minutes, so the results are kept in a folder (heads/, study.json) and reused as
 * long as the model is the same. Speeds are measured separately, on a quiet machine (speeds.ts). The fills are exact,
 * so records suffice.
 */
import { join } from "node:path";
import { sum } from "d3-array";
import {
  attachHeads,
  type AttachOptions,
  exactFill,
  type ExitHeads,
  type HeadLoss,
  measureUnitTimes,
  type Model,
  type Policy,
  trainHeads,
  type WeightDtype,
} from "early-exits";
import type { HeadsDescription } from "../../src/exits/heads/heads-description.js";
import {
  calibrateRecords,
  type CalibrationRecords,
  playPolicy,
  type PolicyOutcome,
  recordDocuments,
} from "early-exits/calibrate";
import { readHeads, readJson, writeFileAtomic, writeHeads } from "early-exits/node";
import { fileExists } from "../../src/node/index.js";
import { embeddedHeads } from "../../apps/cli/demo/demo.js";

export const LEVELS = [0.95, 0.9] as const;
export const DELTA = 0.05;
/** Training steps of the heads, each on 8 windows of 128 tokens. */
export const STEPS = 600;

/** Segments of speeches: to train heads on, to choose and certify policies on, and to judge them on. */
export interface Texts {
  readonly train: readonly string[];
  readonly calibration: readonly string[];
  readonly test: readonly string[];
}

export interface StudiedLevel {
  readonly agreement: number;
  readonly policy: Policy;
  /** On test segments, with the fill that the policy decodes with. */
  readonly test: PolicyOutcome;
}

/** Record of a backbone, kept next to its heads. */
export interface StudiedBackbone {
  readonly headsHash: string;
  readonly documents: number;
  readonly depths: readonly number[];
  /** Share of the test tokens for which the head and the model have the same argmax, per head. */
  readonly agreement: readonly number[];
  readonly levels: readonly StudiedLevel[];
}

/** A quarter, half and three quarters of the blocks, where the recipes put their intermediate losses. */
export function depthsOf({ config: { numLayers } }: Model): number[] {
  return [1, 2, 3].map((quarter) => Math.round((quarter * numLayers) / 4));
}

export interface HeadRecipe extends Pick<AttachOptions, "kind"> {
  readonly depths: readonly number[];
  readonly dtype?: WeightDtype;
  readonly loss?: HeadLoss;
  /** Training steps. @default STEPS */
  readonly steps?: number;
}

/** Trains heads by a recipe, or reads those in the folder `kept` if they belong to this model. */
export async function studyHeads(
  model: Model,
  texts: Pick<Texts, "train">,
  kept: string,
  recipe: HeadRecipe,
): Promise<ExitHeads> {
  const { depths, kind = "dense", dtype = embeddedHeads.dtype, loss = embeddedHeads.loss, steps = STEPS } = recipe;
  const before = (await fileExists(join(kept, "heads.json")))
    ? ((await readJson(join(kept, "heads.json"))) as HeadsDescription)
    : undefined;
  if (before?.modelHash === (await model.hash())) return readHeads(kept, model);
  const heads = attachHeads(model, { exits: depths, kind, dtype });
  await trainHeads(heads, texts.train, { steps, seed: 1, learningRate: 2e-3, loss });
  await writeHeads(kept, heads);
  return heads;
}

/** Heads, policies and their outcomes for one backbone, read from the folder `kept` if they are there. */
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
  const fill = exactFill(model.config);
  const costs = await measureUnitTimes(heads, { fill });
  const levels: StudiedLevel[] = [];
  for (const agreement of LEVELS) {
    const options = { agreement, delta: DELTA, seed: 1, fill, costs } as const;
    const { policy } = await calibrateRecords(calibration, options);
    const outcome = playPolicy(test, policy);
    levels.push({ agreement, policy, test: outcome });
    say(`certified ${agreement}: mean depth ${outcome.meanDepth.toFixed(2)} on test segments`);
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

/** Share of all tokens for which the head and the model have the same argmax, per head. */
export function agreementOf({ depths, documents }: CalibrationRecords): number[] {
  const tokens = sum(documents, ({ positions }) => positions);
  return depths.map((_, exit) => sum(documents, ({ exits }) => sum(exits[exit]!.agrees)) / tokens);
}
