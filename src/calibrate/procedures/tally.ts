/**
 * Counts of candidate policies on documents, and the losses that follow: all that tests need and certificates record.
 * `wrong` and `deep` count changed tokens; for sampled text they sum total variations
 * (model/decode/total-variation.ts), and a token that is certain to change counts `lossScale`.
 *   token, totalVariation   (Σ_exits wrong + deep) / (lossScale · tokens)
 *   anyChange               1 if Σ_exits wrong + deep > 0, else 0
 * Of answers the losses are given, because no count of tokens tells them (record/answers/).
 */
import { OptionError } from "../../errors.js";
import type { CertifiedLoss } from "../../exits/plan/policy.js";
import type { LossMatrix } from "../../risk/certify-losses.js";

export interface Tally {
  readonly documents: number;
  readonly candidates: number;
  readonly exits: number;
  /** The count of a token that is certain to change. @default 1 */
  readonly lossScale?: number;
  /** [documents] judged tokens; of text that candidates write themselves, the most that they may write. */
  readonly tokens: Int32Array;
  /** [documents, candidates] the tokens of such text. */
  readonly written?: Int32Array;
  /** [documents, candidates, exits] tokens that left at the exit. */
  readonly left: Int32Array;
  /** [documents, candidates, exits] of these, those that differ from the full model's, times `lossScale`. */
  readonly wrong: Float64Array;
  /**
   * [documents, candidates] tokens that ran all blocks and still differ, times `lossScale`: 0 unless exits change what
   * comes after them, or the reference is another model.
   */
  readonly deep: Float64Array;
  /** [candidates, exits] 1 if the candidate's threshold there is not "never". */
  readonly active: Uint8Array;
  readonly answers?: AnswerTally;
}

/** Answers of candidates to documents, which are prompts; `tokens` are the full model's. */
export interface AnswerTally {
  /** [documents] SHA-256 of the full model's answer. */
  readonly full: readonly string[];
  /** [documents, candidates], in [-1, 1] for accuracy, in [0, 1] for all others. */
  readonly losses: readonly number[];
  /** [documents, candidates] tokens of the candidate's answer. */
  readonly written: readonly number[];
  /** [documents, candidates] SHA-256 of the candidate's answer. */
  readonly hashes: readonly string[];
}

/** Losses that are 0 or 1 by definition. */
const binaryLosses: readonly CertifiedLoss[] = ["anyChange", "changed", "worse"];

/** The loss of each candidate on each document. Throws an OptionError if counts contradict each other. */
export function lossesOf(tally: Tally, loss: CertifiedLoss): LossMatrix {
  requireTally(tally);
  const { documents, candidates, exits, lossScale = 1, wrong, deep, answers } = tally;
  const shape = { units: documents, candidates, binary: binaryLosses.includes(loss) };
  if (answers !== undefined) {
    return { ...shape, signed: loss === "accuracy", values: Float64Array.from(answers.losses) };
  }
  const values = new Float64Array(documents * candidates);
  for (let row = 0; row < values.length; row++) {
    let changed = deep[row]!;
    for (let exit = 0; exit < exits; exit++) changed += wrong[row * exits + exit]!;
    values[row] = loss === "anyChange" ? Number(changed > 0) : changed / lossScale / judgedIn(tally, row);
  }
  return { ...shape, values };
}

/** Tokens judged in `row` of [documents, candidates]; a candidate that was not run has none of its own. */
export function judgedIn({ candidates, tokens, written }: Tally, row: number): number {
  return written?.[row] || tokens[Math.floor(row / candidates)]!;
}

/** Units, each of classes of copies, each of documents. A unit's loss is the mean over its classes of their means. */
export type Reading = readonly (readonly (readonly number[])[])[];

/**
 * Losses of documents as losses of a reading's units: means, unless all units are single documents.
 */
export function readLosses(losses: LossMatrix, reading: Reading): LossMatrix {
  const { candidates, values, binary } = losses;
  const means = reading.flatMap((unit) =>
    Array.from({ length: candidates }, (_, candidate) =>
      meanOf(unit, (members) => meanOf(members, (d) => values[d * candidates + candidate]!)),
    ),
  );
  const single = reading.every((unit) => unit.flat().length === 1);
  return { ...losses, units: reading.length, binary: binary && single, values: Float64Array.from(means) };
}

function meanOf<One>(list: readonly One[], valueOf: (one: One) => number): number {
  return list.reduce((sum, one) => sum + valueOf(one), 0) / list.length;
}

/** Throws an OptionError if sizes do not match or counts contradict each other. */
function requireTally(tally: Tally): void {
  const { documents, candidates, exits, lossScale = 1, tokens, left, wrong, deep, active, answers } = tally;
  const rows = documents * candidates;
  const fits =
    tokens.length === documents &&
    left.length === rows * exits &&
    wrong.length === left.length &&
    deep.length === rows &&
    active.length === candidates * exits;
  if (!fits || !(rows * exits >= 1)) {
    throw new OptionError(
      "lengths-differ",
      `calibrate: counts do not fit ${documents} documents x ${candidates} candidates x ${exits} exits; give at ` +
        "least one of each",
      { documents, candidates, exits },
    );
  }
  for (let row = 0; row < rows; row++) {
    const document = Math.floor(row / candidates);
    const most = answers?.written[row] ?? judgedIn(tally, row);
    let counted = deep[row]! / lossScale;
    let legal = counted >= 0 && most >= 1;
    for (let at = row * exits; at < (row + 1) * exits; at++) {
      const inUse = active[at % (candidates * exits)] === 1;
      legal &&= wrong[at]! >= 0 && wrong[at]! <= lossScale * left[at]! && (left[at] === 0 || inUse);
      counted += left[at]!;
    }
    if (legal && counted <= most) continue;
    throw new OptionError(
      "tally-range",
      `calibrate: the counts of candidate ${row % candidates} contradict each other on document ${document}, which ` +
        `has ${most} tokens; expected at least one, 0 <= wrong <= left at every exit, none left at one ` +
        "that is not in use, and no more left or changed than it has",
      { document, candidate: row % candidates },
    );
  }
}

/**
 * The cost of a token by where it leaves, in any one unit:
 *   reach_h + Σ head_j over the exits j <= h in use, if it leaves at h;   full + Σ head_j, if it runs all blocks
 * A token pays for every head evaluated on it; heads with threshold "never" are not.
 */
export interface ExitCosts {
  /** [exits] blocks up to each exit. */
  readonly reach: readonly number[];
  /** [exits] evaluation of each head. */
  readonly head: readonly number[];
  /** All blocks and the final head. */
  readonly full: number;
}

export function costsOf(tally: Tally, { reach, head, full }: ExitCosts): number[] {
  const { documents, candidates, exits, tokens, left, active } = tally;
  return Array.from({ length: candidates }, (_, candidate) => {
    const total = tokens.reduce((sum, _, d) => sum + judgedIn(tally, d * candidates + candidate), 0);
    let going = total;
    let cost = 0;
    for (let exit = 0; exit < exits; exit++) {
      if (active[candidate * exits + exit] === 0) continue;
      let leaving = 0;
      for (let d = 0; d < documents; d++) leaving += left[(d * candidates + candidate) * exits + exit]!;
      cost += going * head[exit]! + leaving * reach[exit]!;
      going -= leaving;
    }
    return (cost + going * full) / total;
  });
}
