/**
 * The segments from which the embedded model's heads and certificates are made: shuffled, and none of those on which
 * choices were made. Each names its speech, the group that it belongs to.
 */
import type { GroupedDocument } from "early-exits/calibrate";
import { createRng } from "early-exits/tensor";
import { CHOICE_SEGMENTS } from "./choices.js";
import type { Document, Split } from "./corpus.js";
import { sampleSegments, segmentsOf, SPLIT_SEED } from "./segments.js";

/** The first of the shuffled calibration segments certify nothing: placements were tried on them before the study. */
const TRIED_ON = 1000;

/** A segment with its speech as group. */
export type Segment = GroupedDocument & { readonly text: string; readonly group: string };

export interface ShippingTexts {
  /** To train heads. */
  readonly train: readonly string[];
  /** To certify; none of them was used for a choice. */
  readonly calibration: readonly Segment[];
  /** To judge. */
  readonly test: readonly Segment[];
}

/** Shuffled segments of the speeches of each part. */
export function shippingTexts({ train, calibration, test }: Split): ShippingTexts {
  const rng = createRng(SPLIT_SEED);
  const shuffled = {
    train: rng.shuffle(segments(train)),
    calibration: rng.shuffle(segments(calibration)),
    test: rng.shuffle(segments(test)),
  };
  const choices = sampleSegments(calibration, CHOICE_SEGMENTS, SPLIT_SEED);
  const chosenOn = new Set(choices.map(({ text }) => text));
  return {
    train: shuffled.train.map(({ text }) => text),
    calibration: shuffled.calibration.slice(TRIED_ON).filter(({ text }) => !chosenOn.has(text)),
    test: shuffled.test,
  };
}

function segments(speeches: readonly Document[]): Segment[] {
  return speeches.flatMap(segmentsOf).map(({ title, text }) => ({ text, group: title }));
}
