/**
 * Documents are segments of speeches: a speech is cut at the first sentence end past 600 characters. Segments have
 * about 700 characters or 235 tokens, so nearly all of them fit the context of 256 tokens; and calibration needs many
 * short documents, because the document is the unit that a guarantee counts. A last segment below 300 characters joins
 * the one before it.
 */
import { createRng } from "early-exits/tensor";
import type { Document } from "./corpus.js";

/** Characters after which a segment ends with its sentence, and below which the rest of a speech is no segment. */
const LONG_ENOUGH = 600;
const TOO_SHORT = 300;

/** The seed with which speeches are split into training, calibration and test, and segments are sampled. */
export const SPLIT_SEED = 1;

/** Cuts a speech into segments at sentence ends. */
export function segmentsOf({ title, text }: Document): Document[] {
  const sentences = text.split(/(?<=[.!?]["”')\]]*)\s+(?=["“'([]*[A-Z0-9])/u);
  const segments: string[] = [];
  let current = "";
  for (const sentence of sentences) {
    current = current === "" ? sentence : `${current} ${sentence}`;
    if (current.length >= LONG_ENOUGH) {
      segments.push(current);
      current = "";
    }
  }
  if (current.length >= TOO_SHORT || segments.length === 0) segments.push(current);
  else if (current !== "") segments.push(`${segments.pop()!} ${current}`);
  return segments.map((segment) => ({ title, text: segment }));
}

/** The texts of all segments of some speeches, in order. */
export function segmentTexts(speeches: readonly Document[]): string[] {
  return speeches.flatMap(segmentsOf).map(({ text }) => text);
}

/** `count` segments spread over the speeches: one of each in turn, at random places. */
export function sampleSegments(speeches: readonly Document[], count: number, seed: number): Document[] {
  const rng = createRng(seed);
  const queues = rng.shuffle(speeches).map((speech) => rng.shuffle(segmentsOf(speech)));
  const chosen: Document[] = [];
  for (let round = 0; chosen.length < count && queues.some((queue) => queue.length > round); round++) {
    for (const queue of queues) {
      if (queue[round] !== undefined && chosen.length < count) chosen.push(queue[round]!);
    }
  }
  return chosen;
}
