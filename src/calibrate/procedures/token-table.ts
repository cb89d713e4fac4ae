/**
 * Recorded tokens as columns, and what thresholds do with them:
 *   a token leaves at the first exit h with oriented score s_h >= τ_h
 * Oriented scores are turned so that larger is more confident. Thresholds in this room are oriented: Infinity is
 * "never", -Infinity is "always". A table takes 9 bytes per token and exit (13 with losses of its own); a tally of
 * 200,000 tokens, 5 exits and 20 vectors takes a tenth of a second.
 */
import { OptionError } from "../../errors.js";
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
  /** The documents of each unit, as in a tally. */
  readonly unitStarts?: Int32Array;
  /** Total variations, or losses against another reference. @default 1 where an exit disagrees, 0 elsewhere */
  readonly losses?: TokenLosses;
}

/** The loss of every token by where it leaves, in 1/`lossScale`. */
export interface TokenLosses {
  readonly lossScale: number;
  /** Per exit: [tokens] the loss if the token leaves there. */
  readonly exits: readonly LossColumn[];
  /** [tokens] the loss if the token runs all blocks; absent if the full model is the reference. */
  readonly deep?: LossColumn;
}

/** [tokens] losses in [0, lossScale]. */
export type LossColumn = Uint8Array | Int32Array;

export function lossesIn({ losses, agrees }: Pick<TokenTable, "losses" | "agrees">): TokenLosses {
  return losses ?? { lossScale: 1, exits: agrees.map((column) => column.map((agreement) => 1 - agreement)) };
}

export type ThresholdVector = readonly number[];

/** Throws an OptionError unless every document has tokens, columns have their length and scores are finite. */
export function requireTokenTable(where: string, table: TokenTable): void {
  const { documents, exits, starts, oriented, agrees } = table;
  if (documents < 1 || exits < 1) {
    throw new OptionError(
      "documents-empty",
      `${where}: ${documents} documents and ${exits} exits; give at least one of each`,
      { documents, exits },
    );
  }
  if (starts.length !== documents + 1 || oriented.length !== exits || agrees.length !== exits) {
    throw new OptionError(
      "lengths-differ",
      `${where}: the columns do not fit ${documents} documents and ${exits} exits`,
      {
        starts: starts.length,
        oriented: oriented.length,
        agrees: agrees.length,
      },
    );
  }
  for (let d = 0; d < documents; d++) {
    if (!(starts[d + 1]! > starts[d]!)) {
      throw new OptionError("documents-empty", `${where}: document ${d} has no tokens; leave it out`, { document: d });
    }
  }
  const tokens = starts[documents]!;
  for (let exit = 0; exit < exits; exit++) {
    const scores = oriented[exit]!;
    const agreements = agrees[exit]!;
    if (scores.length !== tokens || agreements.length !== tokens) {
      throw new OptionError(
        "lengths-differ",
        `${where}: ${tokens} tokens, but exit ${exit} has ${scores.length} scores and ${agreements.length} agreements`,
        { exit },
      );
    }
    const bad = scores.findIndex((score) => !Number.isFinite(score));
    if (bad >= 0) {
      throw new OptionError(
        "score-nan",
        `${where}: the score of token ${bad} at exit ${exit} is ${scores[bad]!}; the head's logits are broken`,
        { exit, token: bad },
      );
    }
  }
  if (table.losses !== undefined) requireLosses(where, table.losses, exits, tokens);
}

function requireLosses(
  where: string,
  { lossScale, exits: columns, deep }: TokenLosses,
  exits: number,
  tokens: number,
): void {
  const all = deep === undefined ? columns : [...columns, deep];
  const misfit = all.some(
    (column) => column.length !== tokens || column.some((loss) => !(loss >= 0 && loss <= lossScale)),
  );
  if (columns.length === exits && !misfit) return;
  throw new OptionError(
    "lengths-differ",
    `${where}: the losses do not fit ${tokens} tokens and ${exits} exits; expected a column of integers in ` +
      `[0, ${lossScale}] for every exit`,
    { exits: columns.length },
  );
}

export function tallyVectors(table: TokenTable, vectors: readonly ThresholdVector[]): Tally {
  const { documents, exits, starts, oriented, unitStarts } = table;
  const { lossScale, exits: losses, deep: deepLosses } = lossesIn(table);
  const candidates = vectors.length;
  const left = new Int32Array(documents * candidates * exits);
  const wrong = new Float64Array(documents * candidates * exits);
  const deep = new Float64Array(documents * candidates);
  vectors.forEach((vector, candidate) => {
    for (let d = 0; d < documents; d++) {
      const row = (d * candidates + candidate) * exits;
      for (let t = starts[d]!; t < starts[d + 1]!; t++) {
        let exit = 0;
        while (exit < exits && oriented[exit]![t]! < vector[exit]!) exit++;
        if (exit === exits) {
          if (deepLosses !== undefined) deep[d * candidates + candidate]! += deepLosses[t]!;
        } else {
          left[row + exit]!++;
          wrong[row + exit]! += losses[exit]![t]!;
        }
      }
    }
  });
  return {
    documents,
    candidates,
    exits,
    lossScale,
    ...(unitStarts !== undefined && { unitStarts }),
    left,
    wrong,
    deep,
    tokens: Int32Array.from({ length: documents }, (_, d) => starts[d + 1]! - starts[d]!),
    active: Uint8Array.from(vectors.flatMap((vector) => vector.map((threshold) => (threshold < Infinity ? 1 : 0)))),
  };
}

export function orientThreshold(threshold: Threshold, score: ScoreName): number {
  if (threshold === "never") return Infinity;
  if (threshold === "always") return -Infinity;
  return orientScore(threshold, score);
}

/** As policies store it. */
export function rawThreshold(threshold: number, score: ScoreName): Threshold {
  if (threshold === Infinity) return "never";
  if (threshold === -Infinity) return "always";
  return orientScore(threshold, score) + 0; // + 0: no negative zero in JSON
}
