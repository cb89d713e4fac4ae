/**
 * A head that reads the positions before, too: the linear map, then a causal block of the head's own, which begins as
 * nothing (`src/exits/heads/maps/block.ts`), so the head begins as the linear one and what it gains is the block's.
 */
import { attachHeads, type Model, trainHeads, type TrainStep } from "early-exits";
import { type BatchSource, type ExitHead, type ExitQuality, frequentTokens, measureExits } from "early-exits/exits";
import type { MarkedDocument } from "early-exits/model";
import { batchSource } from "../../src/exits/states/index.js";

/** Tokens that the loss compares. */
const LISTED = 8192;

export interface BlockRecipe {
  readonly epochs: number;
  readonly learningRate: number;
  /** Conversations of a step. */
  readonly batchSize: number;
  /** Tokens of a conversation. */
  readonly sequenceLength: number;
  /** Measurements, with one before the first step. */
  readonly points: number;
}

export interface BlockPoint {
  readonly step: number;
  readonly quality: ExitQuality;
}

export interface BlockCallbacks {
  readonly onPoint: (point: BlockPoint) => unknown;
  readonly onStep: (event: TrainStep) => unknown;
}

/** Trains a head of kind block that begins as `linear`, a head with a linear map. */
export async function trainBlockHead(
  model: Model,
  linear: ExitHead,
  documents: readonly MarkedDocument[],
  held: readonly MarkedDocument[],
  { epochs, learningRate, batchSize, sequenceLength, points }: BlockRecipe,
  { onPoint, onStep }: BlockCallbacks,
): Promise<void> {
  const { depth } = linear;
  const heads = attachHeads(model, { exits: [depth], map: "block", vocabulary: "full" });
  await heads.ready();
  const [head] = heads.heads;
  head!.weights = { ...head!.weights, ...linear.mapWeights };
  const wanted = { depths: [depth], whole: [depth] };
  const sourceOf = (texts: readonly MarkedDocument[]): BatchSource =>
    batchSource(model, texts, wanted, { batchSize, sequenceLength, seed: 1 });
  const heldSource = sourceOf(held);
  const source = sourceOf(documents);
  const steps = Math.round(epochs * source.batchesPerEpoch!);
  const list = await frequentTokens(model, documents, LISTED, { positions: 0, countText: true });
  const [before] = await measureExits(heads, heldSource);
  await onPoint({ step: 0, quality: before! });
  await trainHeads(heads, source, {
    steps,
    learningRate,
    list,
    held: heldSource,
    measureEvery: Math.ceil(steps / points),
    seed: 1,
    onStep,
    onMeasure: ({ step, exits: [quality] }) => onPoint({ step, quality: quality! }),
  });
}
