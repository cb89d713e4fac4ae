/**
 * Populations whose true risk is known exactly. A token belongs to one of a few classes. Given the class, each exit's
 * oriented score S is uniform on an interval (or constant, which gives ties), its agreement is a Bernoulli variable,
 * and all of them are independent. Documents are of a few kinds, each with its own mix of classes and its own lengths.
 * So for any thresholds τ
 *   P(leaves at h and is wrong | class) = Π_{j<h} P(S_j < τ_j) · P(S_h >= τ_h) · (1 - agreement_h)
 * and every risk is a finite sum over classes, without sampling error. Many fine classes along a difficulty give
 * dependent exits and any risk curve. For sampled text, a class has the total variation between the head's distribution
 * and the full model's in place of 1 - agreement.
 */
import { OptionError } from "../../src/errors.js";
import { LOSS_UNIT } from "../../src/model/decode/total-variation.js";
import type { Rng } from "../../src/tensor/index.js";
import type { ThresholdVector, TokenTable } from "../../src/calibrate/procedures/token-table.js";

/** One exit, given the class: its oriented score is uniform on [low, high], and it agrees with this probability. */
export interface ExitGivenClass {
  readonly low: number;
  readonly high: number;
  readonly agreement: number;
  /** For sampled text, in all classes: the loss of its tokens in units of 2^-20; then `agreement` is of the argmax. */
  readonly distance?: number;
}

export interface DocumentKind {
  /** The share of documents of this kind where the claim is used. */
  readonly share: number;
  /** The share when calibration starts, from which it moves linearly to `share`. @default share, that is, no drift */
  readonly shareAtStart?: number;
  /** Number of tokens in a document: uniform between these, ends included. */
  readonly length: readonly [number, number];
  /** [classes] weight of each class. */
  readonly classes: readonly number[];
}

export interface PopulationSpec {
  readonly name: string;
  /** [classes][exits] */
  readonly classes: readonly (readonly ExitGivenClass[])[];
  readonly kinds: readonly DocumentKind[];
}

/** The true effect of a vector of thresholds where the claim is used. */
interface Truth {
  /** The share of changed tokens: the mean over documents of each document's share, or the share of all tokens. */
  readonly risk: number;
  /** The share of documents in which any token changes. For sampled text, of which tokens change in part, NaN. */
  readonly anyChange: number;
  /** The share of tokens that leave at any exit. */
  readonly coverage: number;
  /** Per exit: the share of tokens that leave there, and P(wrong | leaves there), which is 0 if none leaves. */
  readonly exits: readonly { readonly left: number; readonly risk: number }[];
}

export interface Population {
  readonly name: string;
  readonly exits: number;
  /** Draws documents, in the order of calibration. */
  draw(rng: Rng, documents: number): TokenTable;
  /** Draws documents of these kinds, one after the other. */
  drawKinds(rng: Rng, kinds: Iterable<number>): TokenTable;
  /** The exact truth, with equal weights for documents or for tokens. */
  readonly truth: (thresholds: ThresholdVector, weigh: "documents" | "tokens") => Truth;
}

/** Creates a population. Throws an OptionError if its parts do not match. */
export function createPopulation({ name, classes, kinds }: PopulationSpec): Population {
  const exits = classes[0]?.length ?? 0;
  if (
    exits === 0 ||
    kinds.length === 0 ||
    classes.some((of) => of.length !== exits) ||
    kinds.some((kind) => kind.classes.length !== classes.length)
  ) {
    throw new OptionError(
      "lengths-differ",
      `createPopulation: ${name}: every class needs the same number of exits, and every kind a weight for ` +
        `each of the ${classes.length} classes`,
      { name },
    );
  }
  const sampled = classes[0]![0]!.distance !== undefined;
  const riskOf = ({ distance, agreement }: ExitGivenClass): number =>
    distance === undefined ? 1 - agreement : distance / LOSS_UNIT;
  const mixes = kinds.map((kind) => normalised(kind.classes));
  const shares = normalised(kinds.map(({ share }) => share));
  const starting = normalised(kinds.map(({ share, shareAtStart = share }) => shareAtStart));
  const lengths = kinds.map(({ length: [least, most] }) => (least + most) / 2);
  const weights = {
    documents: mixed(mixes, shares),
    tokens: mixed(mixes, normalised(shares.map((share, kind) => share * lengths[kind]!))),
  };
  const cumulative = mixes.map(runningSum);
  const drifts = starting.join() !== shares.join();
  const always = runningSum(shares);

  const lengthOf = (rng: Rng, kind: number): number => {
    const [least, most] = kinds[kind]!.length;
    return least + rng.integer(most - least + 1);
  };
  /** Columns of tokens, document by document. */
  const columnsOf = (rng: Rng) => {
    /** Scores, agreement and losses by exit. */
    const sized = (room: number) => [0, 1, 2].map(() => classes[0]!.map(() => new Float64Array(room)));
    let columns = sized(4096);
    const starts = [0];
    let at = 0;
    return {
      add(kind: number, length: number) {
        if (at + length > columns[0]![0]!.length) {
          const larger = sized(2 * (at + length));
          columns.forEach((own, i) => own.forEach((column, exit) => larger[i]![exit]!.set(column)));
          columns = larger;
        }
        const [scores, agrees, losses] = columns;
        const chances = cumulative[kind]!;
        for (const end = at + length; at < end; at++) {
          const given = classes[pick(chances, rng.uniform())]!;
          for (let exit = 0; exit < exits; exit++) {
            const { low, high, agreement, distance = 0 } = given[exit]!;
            scores![exit]![at] = low === high ? low : low + (high - low) * rng.uniform();
            agrees![exit]![at] = Number(rng.uniform() < agreement);
            losses![exit]![at] = distance;
          }
        }
        starts.push(at);
      },
      table(): TokenTable {
        const [scores, agrees, losses] = columns.map((own) => own.map((column) => column.subarray(0, at)));
        return {
          documents: starts.length - 1,
          exits,
          starts: new Int32Array(starts),
          oriented: scores!,
          agrees: agrees!.map((list) => new Uint8Array(list)),
          ...(sampled && { losses: { lossScale: LOSS_UNIT, exits: losses!.map((list) => new Int32Array(list)) } }),
        };
      },
    };
  };

  return {
    name,
    exits,
    draw(rng, documents) {
      const drawn = Array.from({ length: documents }, (_, d) => {
        const time = documents > 1 ? d / (documents - 1) : 1;
        const now = shares.map((share, kind) => (1 - time) * starting[kind]! + time * share);
        return pick(drifts ? runningSum(now) : always, rng.uniform());
      });
      const lengths = drawn.map((kind) => lengthOf(rng, kind));
      const columns = columnsOf(rng);
      for (const [d, kind] of drawn.entries()) columns.add(kind, lengths[d]!);
      return columns.table();
    },
    drawKinds(rng, drawn) {
      const columns = columnsOf(rng);
      for (const kind of drawn) columns.add(kind, lengthOf(rng, kind));
      return columns.table();
    },
    truth(thresholds, weigh) {
      /** Given the class: P(a token leaves and is wrong). */
      const wrongIn = Float64Array.from(classes, (given) => {
        let going = 1;
        return given.reduce((sum, exit, index) => {
          const leaving = going * chanceAbove(exit, thresholds[index]!);
          going -= leaving;
          return sum + leaving * riskOf(exit);
        }, 0);
      });
      const left = new Float64Array(exits);
      const wrong = new Float64Array(exits);
      classes.forEach((given, index) => {
        let going = weights[weigh][index]!;
        for (let exit = 0; exit < exits && going > 0; exit++) {
          const leaving = going * chanceAbove(given[exit]!, thresholds[exit]!);
          left[exit]! += leaving;
          wrong[exit]! += leaving * riskOf(given[exit]!);
          going -= leaving;
        }
      });
      const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
      const unchanged = kinds.map(({ length: [least, most] }, kind) => {
        const right = 1 - mixes[kind]!.reduce((total, weight, index) => total + weight * wrongIn[index]!, 0);
        const powers = Array.from({ length: most - least + 1 }, (_, i) => right ** (least + i));
        return powers.reduce((total, power) => total + power / powers.length, 0);
      });
      return {
        risk: sum(wrong),
        anyChange: sampled ? NaN : 1 - shares.reduce((total, share, kind) => total + share * unchanged[kind]!, 0),
        coverage: sum(left),
        exits: Array.from(left, (share, exit) => ({ left: share, risk: share > 0 ? wrong[exit]! / share : 0 })),
      };
    },
  };
}

/** P(S >= τ). */
function chanceAbove({ low, high }: ExitGivenClass, threshold: number): number {
  if (threshold <= low) return 1;
  return threshold > high || low === high ? 0 : (high - threshold) / (high - low);
}

/** The index that a uniform number selects from cumulative weights. */
function pick(cumulative: Float64Array, uniform: number): number {
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (uniform < cumulative[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}

function normalised(weights: readonly number[]): number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function runningSum(weights: readonly number[]): Float64Array {
  let sum = 0;
  return Float64Array.from(weights, (weight) => (sum += weight));
}

/** The weight of each class over all kinds. */
function mixed(mixes: readonly (readonly number[])[], shares: readonly number[]): number[] {
  return mixes[0]!.map((_, index) => mixes.reduce((sum, mix, kind) => sum + shares[kind]! * mix[index]!, 0));
}
