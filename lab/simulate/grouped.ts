/**
 * Documents that come from few sources: a group draws a kind, and each of its documents has this kind with probability
 * `persistence`, or else a kind of its own. Two documents of one group have the same drawn kind with probability
 * persistence², which is the correlation of their kinds; a single document is distributed as in the population without
 * groups, so the truth is the same.
 */
import type { Rng } from "../../src/tensor/index.js";
import type { GroupedTable } from "./procedures.js";
import { createPopulation, type ExitGivenClass, type Population, type PopulationSpec } from "./population.js";

export interface GroupedDraw {
  readonly groups: number;
  /** Documents of a group: uniform between these, ends included. */
  readonly size: readonly [number, number];
  readonly persistence: number;
}

export interface Sources {
  /** The share of hard documents. */
  readonly hard: number;
  /** The size of the error in hard documents, and in the others. */
  readonly hostile: number;
  readonly benign: number;
}

/** Sources drawn at random. */
export function randomSources(rng: Rng): Sources {
  return {
    hard: 0.06 + 0.12 * rng.uniform(),
    hostile: 0.35 + 0.45 * rng.uniform(),
    benign: 0.03 + 0.1 * rng.uniform(),
  };
}

/** A population with hard and easy documents; only hard ones are often wrong, and scores do not tell them apart. */
export function sourcesPopulation({ hard, hostile, benign }: Sources): PopulationSpec {
  const steps = Array.from({ length: 20 }, (_, i) => [i / 20, (i + 1) / 20] as const);
  const curve = (error: number): ExitGivenClass[][] =>
    steps.map(([from, to]) => [{ low: -to, high: -from, agreement: 1 - Math.min(0.95, error * (0.4 + to)) }]);
  const easyClasses = curve(benign);
  const hardClasses = curve(hostile);
  const weights = (easy: number, difficult: number): number[] => [
    ...easyClasses.map(() => easy),
    ...hardClasses.map(() => difficult),
  ];
  return {
    name: "sources",
    classes: [...easyClasses, ...hardClasses],
    kinds: [
      { share: 1 - hard, length: [15, 25], classes: weights(1, 0) },
      { share: hard, length: [15, 25], classes: weights(0, 1) },
    ],
  };
}

/** Draws groups of documents. */
export function drawGroups(spec: PopulationSpec, rng: Rng, { groups, size, persistence }: GroupedDraw): GroupedTable {
  const kind = (): number => {
    let left = rng.uniform() * spec.kinds.reduce((sum, { share }) => sum + share, 0);
    return spec.kinds.findIndex(({ share }) => (left -= share) < 0);
  };
  const drawn: number[][] = [];
  let document = 0;
  function* kinds(): Generator<number> {
    for (let group = 0; group < groups; group++) {
      const shared = kind();
      const documents = size[0] + rng.integer(size[1] - size[0] + 1);
      drawn.push(Array.from({ length: documents }, () => document++));
      for (let d = 0; d < documents; d++) {
        const own = rng.uniform() < persistence ? shared : kind();
        rng.uniform(); // the draws of the committed reports had one more here
        yield own;
      }
    }
  }
  return { ...createPopulation(spec).drawKinds(rng, kinds()), groups: drawn };
}

/** The truth of a spec, which groups do not change. */
export function truthOf(spec: PopulationSpec): Population["truth"] {
  return createPopulation(spec).truth;
}
