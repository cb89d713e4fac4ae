/**
 * Measures a look-ahead head's drafts on held-out text: the share that the full model accepts, by the margin
 * between the head's two best tokens. Decoding asks it which drafts to keep.
 */
import { OptionError } from "../../errors.js";
import type { Document } from "../../model/index.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import type { DraftConfidence } from "../heads/heads-description.js";
import {
  aheadBatch,
  type BatchSource,
  batchSource,
  disposeBatch,
  type FitOptions,
  forBatches,
  requireFit,
} from "../states/batches.js";
import { outcomeOf } from "../states/record-states.js";

/** Levels of the margin, with as many drafts each. */
const LEVELS = 8;

interface DraftQuality {
  readonly positions: number;
  /** Share of the positions whose next token but one the head guesses. */
  readonly acceptance: number;
  readonly confidence: readonly DraftConfidence[];
}

/**
 * Measures the look-ahead head, and leaves what it finds with it: `lossless: true` keeps drafts by that. Throws an
 * OptionError if the heads have none, or the text has no token after next to guess.
 */
export async function measureDrafts(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: FitOptions = {},
): Promise<DraftQuality> {
  requireFit("measureDrafts", heads, options);
  const { model, ahead } = heads;
  if (ahead === undefined) {
    throw new OptionError(
      "draft-head",
      "measureDrafts: the heads have no look-ahead head; attach one (attachHeads, ahead: true)",
    );
  }
  const drafts: { readonly margin: number; readonly right: number }[] = [];
  const source = batchSource(model, data, ahead.shape.inputs!, options);
  await forBatches(source, options.positions ?? Infinity, options, async (batch) => {
    const pairs = await aheadBatch(batch, ahead);
    if (pairs === undefined) return;
    try {
      const { argmax } = pairs.outcome ?? (await outcomeOf(model, pairs.final, options));
      const logits = await ahead.logits(pairs.inputs!);
      const confidences = await ahead.confidences(logits);
      logits.dispose();
      for (const [r, { argmax: guess, top1, top2 }] of confidences.entries()) {
        drafts.push({ margin: top1 - top2, right: Number(guess === argmax[r]) });
      }
    } finally {
      disposeBatch(pairs);
    }
  });
  if (drafts.length === 0) {
    throw new OptionError(
      "draft-text",
      "measureDrafts: no document has three tokens in a row to judge; give longer ones",
    );
  }
  drafts.sort((a, b) => a.margin - b.margin);
  const share = (some: typeof drafts): number => some.reduce((sum, { right }) => sum + right, 0) / some.length;
  const size = Math.max(1, Math.ceil(drafts.length / LEVELS));
  const confidence: DraftConfidence[] = [];
  for (let begin = 0; begin < drafts.length; begin += size) {
    const level = drafts.slice(begin, begin + size);
    confidence.push({ margin: level[0]!.margin, acceptance: share(level) });
  }
  ahead.confidence = confidence;
  return { positions: drafts.length, acceptance: share(drafts), confidence };
}
