/**
 * Two maps for a head at one depth, taught by the same answers from the same closed form: `linear` reads one state;
 * `block` has a causal block of its own behind the linear map, which begins as nothing and reads the positions before
 * (`src/exits/heads/maps/block.ts`).
 */
import { attachHeads, type Model, trainHeads, type TrainStep } from "early-exits";
import { type BatchSource, type ExitQuality, fitMaps, frequentTokens, measureExits } from "early-exits/exits";
import type { MarkedDocument } from "early-exits/model";
import { batchSource } from "../../src/exits/states/index.js";
import { rememberBatches } from "./remember.js";

const MAPS = ["linear", "block"] as const;
export type ComparedMap = (typeof MAPS)[number];

/** Tokens that the loss compares. */
const LISTED = 8192;

export interface MapsRecipe {
  readonly epochs: number;
  readonly learningRate: number;
  /** Conversations of a step. */
  readonly batchSize: number;
  /** Tokens of a conversation, at most. */
  readonly sequenceLength: number;
}

/** A measurement on held-out answers; before the first epoch, of the closed form. */
export interface MapPoint {
  readonly map: ComparedMap;
  readonly epoch: number;
  readonly quality: ExitQuality;
}

export interface MapCallbacks {
  readonly onPoint: (point: MapPoint) => unknown;
  readonly onStep: (event: TrainStep) => unknown;
}

/** Fits and trains both maps. The model runs once on every answer; its states are kept in memory. */
export async function compareMaps(
  model: Model,
  depth: number,
  { taught, held }: { readonly taught: readonly MarkedDocument[]; readonly held: readonly MarkedDocument[] },
  { epochs, learningRate, batchSize, sequenceLength }: MapsRecipe,
  { onPoint, onStep }: MapCallbacks,
): Promise<void> {
  const wanted = { depths: [depth], whole: [depth] };
  const sourceOf = (texts: readonly MarkedDocument[], size: number): BatchSource =>
    rememberBatches(model, batchSource(model, texts, wanted, { batchSize: size, sequenceLength, seed: 1 }));
  // A last batch that is not full begins anew, and nothing may be judged twice.
  const [source, heldSource] = [sourceOf(taught, batchSize), sourceOf(held, 1)];
  const list = await frequentTokens(model, taught, LISTED, { positions: 0, countText: true });
  for (const map of MAPS) {
    const heads = attachHeads(model, { exits: [depth], map, vocabulary: "full" });
    await fitMaps(heads, source, { positions: Number.MAX_SAFE_INTEGER });
    const [closedForm] = await measureExits(heads, heldSource);
    await onPoint({ map, epoch: 0, quality: closedForm! });
    await trainHeads(heads, source, {
      steps: epochs * source.batchesPerEpoch!,
      learningRate,
      list,
      held: heldSource,
      measureEvery: source.batchesPerEpoch!,
      seed: 1,
      onStep,
      onMeasure: ({ step, exits: [quality] }) =>
        onPoint({ map, epoch: step / source.batchesPerEpoch!, quality: quality! }),
    });
    heads.dispose();
  }
}
