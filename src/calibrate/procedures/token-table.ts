/**
 * Recorded tokens as columns, and what thresholds do with them:
 *   a token leaves at the first exit h with oriented score s_h >= τ_h
 * Oriented scores are turned so that larger is more confident. Thresholds in this room are oriented: Infinity is
 * "never", -Infinity is "always". A table takes 9 bytes per token and exit (13 with losses of its own); a tally of
 * 200,000 tokens, 5 exits and 20 vectors takes a tenth of a second.
 */
import { orientScore, type ScoreName, type Threshold } from "../../exits/heads/score.js";
import type { Tally } from "./tally.js";

export interface TokenTable {
  readonly documents: number;
  readonly exits: number;
  /** [documents + 1] document d holds the tokens starts[d] .. starts[d+1]-1. */
  readonly starts: Int32Array;
  /** Per exit, shallow to deep: [tokens] oriented scores, finite. */
  readonly oriented: readonly Float64Array[];
  /** Per exit: [tokens] 1 if the exit's token is the full model's. */
  readonly agrees: readonly Uint8Array[];
  /** Total variations, or losses against another reference. @default 1 where an exit disagrees, 0 elsewhere */
  readonly losses?: TokenLosses;
}

/** The loss of every token by where it leaves, in 1/`lossScale`. */
interface TokenLosses {
  readonly lossScale: number;
  /** Per exit: [tokens] the loss if the token leaves there. */
  readonly exits: readonly LossColumn[];
  /** [tokens] the loss if the token runs all blocks; absent if the full model is the reference. */
  readonly deep?: LossColumn;
}

/** [tokens] losses in [0, lossScale]. */
export type LossColumn = Uint8Array | Int32Array;

/** Losses that follow from agreement, by the columns of agreement: tables are read many times. */
const derived = new WeakMap<TokenTable["agrees"], TokenLosses>();

export function lossesIn({ losses, agrees }: Pick<TokenTable, "losses" | "agrees">): TokenLosses {
  if (losses !== undefined) return losses;
  const known = derived.get(agrees) ?? { lossScale: 1, exits: agrees.map((column) => column.map((one) => 1 - one)) };
  derived.set(agrees, known);
  return known;
}

export type ThresholdVector = readonly number[];

export function tallyVectors(table: TokenTable, vectors: readonly ThresholdVector[]): Tally {
  const { documents, exits, starts, oriented } = table;
  const { lossScale, exits: losses, deep: deepLosses } = lossesIn(table);
  const candidates = vectors.length;
  const left = new Int32Array(documents * candidates * exits);
  const wrong = new Float64Array(documents * candidates * exits);
  const deep = new Float64Array(documents * candidates);
  vectors.forEach((vector, candidate) => {
    const open = [...vector.keys()].filter((exit) => vector[exit]! < Infinity);
    const thresholds = Float64Array.from(open, (exit) => vector[exit]!);
    const scores = open.map((exit) => oriented[exit]!);
    for (let d = 0; d < documents; d++) {
      const cell = d * candidates + candidate;
      for (let t = starts[d]!; t < starts[d + 1]!; t++) {
        let place = 0;
        while (place < open.length && scores[place]![t]! < thresholds[place]!) place++;
        if (place === open.length) {
          if (deepLosses !== undefined) deep[cell]! += deepLosses[t]!;
        } else {
          const exit = open[place]!;
          left[cell * exits + exit]!++;
          wrong[cell * exits + exit]! += losses[exit]![t]!;
        }
      }
    }
  });
  return {
    documents,
    candidates,
    exits,
    lossScale,
    left,
    wrong,
    deep,
    tokens: Int32Array.from({ length: documents }, (_, d) => starts[d + 1]! - starts[d]!),
    active: Uint8Array.from(vectors.flat(), (threshold) => Number(threshold < Infinity)),
  };
}

export function orientThreshold(threshold: Threshold, score: ScoreName): number {
  if (threshold === "never") return Infinity;
  if (threshold === "always") return -Infinity;
  return orientScore(threshold, score);
}

/** As policies store them. */
export function rawVector(vector: ThresholdVector, score: ScoreName): Threshold[] {
  return vector.map((threshold) => rawThreshold(threshold, score));
}

export function rawThreshold(threshold: number, score: ScoreName): Threshold {
  if (threshold === Infinity) return "never";
  if (threshold === -Infinity) return "always";
  return orientScore(threshold, score) + 0; // + 0: no negative zero in JSON
}
