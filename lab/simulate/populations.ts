/**
 * The populations on which procedures are judged. Two are counterexamples to the published rule: curve and cascade
 * (docs/06-calibration.md). The others are families: each draw of the parameters gives another population with the same
 * difficulty for calibration, so that a law is tested on many populations.
 */
import type { Rng } from "../../src/tensor/index.js";
import { sampledPopulation } from "./sampled-population.js";
import { createPopulation, type DocumentKind, type ExitGivenClass, type Population } from "./population.js";

/**
 * One exit, with uncertainty u uniform on (0, 1) and P(wrong | u) = 0.6 u². The selective agreement at threshold τ is
 * 1 - 0.2 τ².
 */
export function curvePopulation(): Population {
  const classes = steps(200).map(([from, to]): ExitGivenClass[] => [
    { low: -to, high: -from, agreement: 1 - (0.2 * (to ** 3 - from ** 3)) / (to - from) },
  ]);
  return createPopulation({ name: "curve", classes, kinds: plain(classes, [10, 10]) });
}

/**
 * Two exits. The first takes the easy half. The second agrees on 0.910 of all tokens, which a calibration on all tokens
 * accepts for a target of 0.90, but only on 0.815 of the hard tokens, the only ones that it answers.
 */
export function cascadePopulation(): Population {
  const easy = [
    { low: 1, high: 2, agreement: 0.98 },
    { low: 0, high: 1, agreement: 0.995 },
  ];
  const hard = [
    { low: 0, high: 1, agreement: 0.5 },
    { low: 0, high: 1, agreement: 0.815 },
  ];
  return createPopulation({
    name: "cascade",
    classes: [easy, hard],
    kinds: [{ share: 1, length: [10, 10], classes: [0.528, 0.472] }],
  });
}

/**
 * A clustered population whose selective risk crosses 0.1 at a coverage of about three quarters. Most of the risk comes
 * from one document in twelve.
 */
export function clusteredPopulation(): Population {
  return clustered({ share: 0.08, hostile: 0.9, benign: 0.11, length: [50, 70] });
}

export type PopulationFamily = keyof typeof populationFamilies;

/** Families by their difficulty. Each draws its parameters from the given generator. */
export const populationFamilies = {
  /** A benign family: one difficulty for all exits, and deeper exits are better. The size of the error is drawn. */
  plain(rng: Rng): Population {
    return byDifficulty("plain", rng, 2 + rng.integer(2), [8, 12]);
  },

  /** Scores take four to seven values. */
  ties(rng: Rng): Population {
    const values = 4 + rng.integer(4);
    const error = errorScale(rng);
    const classes = steps(values).map(([, u], i) =>
      [0, 1].map((exit): ExitGivenClass => ({
        low: values - i,
        high: values - i,
        agreement: 1 - Math.min(0.9, error * u ** 2 * (exit === 0 ? 3 : 2)),
      })),
    );
    return createPopulation({ name: "ties", classes, kinds: plain(classes, [8, 12]) });
  },

  /** The most confident tokens are the worst: as thresholds are relaxed, risk first falls, then rises. */
  nonMonotone(rng: Rng): Population {
    const error = errorScale(rng);
    const overconfident = 0.02 + 0.06 * rng.uniform();
    const classes = steps(40).map(([from, to]) =>
      [0, 1].map((exit): ExitGivenClass => ({
        low: -to,
        high: -from,
        agreement: to <= overconfident ? 0.6 : 1 - Math.min(0.9, error * (exit === 0 ? 4 : 2.5) * to ** 3),
      })),
    );
    return createPopulation({ name: "nonMonotone", classes, kinds: plain(classes, [8, 12]) });
  },

  /** As in the cascade above: an exit that looks good on all tokens answers only those that the first did not take. */
  cascade(rng: Rng): Population {
    const share = 0.4 + 0.3 * rng.uniform();
    const easy = [
      { low: 1, high: 2, agreement: 0.97 + 0.03 * rng.uniform() },
      { low: 0, high: 1, agreement: 0.995 },
    ];
    const hard = [
      { low: 0, high: 1, agreement: 0.3 + 0.4 * rng.uniform() },
      { low: 0, high: 1, agreement: 0.75 + 0.2 * rng.uniform() },
    ];
    return createPopulation({
      name: "cascade",
      classes: [easy, hard],
      kinds: [{ share: 1, length: [8, 12], classes: [share, 1 - share] }],
    });
  },

  /** The first head is useless: its score is uninformative, and it is mostly wrong. */
  uselessHead(rng: Rng): Population {
    const error = errorScale(rng);
    const chance = 0.05 + 0.3 * rng.uniform();
    const classes = steps(40).map(([from, to]): ExitGivenClass[] => [
      { low: 0, high: 1, agreement: chance },
      { low: -to, high: -from, agreement: 1 - Math.min(0.9, error * 3 * to ** 2) },
      { low: -to, high: -from, agreement: 1 - Math.min(0.9, error * 2 * to ** 2) },
    ]);
    return createPopulation({ name: "uselessHead", classes, kinds: plain(classes, [8, 12]) });
  },

  /**
   * The last exit is a preview of the vocabulary: it misses a few tokens, at any difficulty, and its score hardly says
   * which.
   */
  previewed(rng: Rng): Population {
    const error = errorScale(rng);
    const missed = 0.006 * 20 ** rng.uniform();
    const blur = 1 + 4 * rng.uniform();
    const classes = steps(40).map(([from, to]): ExitGivenClass[] => [
      { low: -to, high: -from, agreement: 1 - Math.min(0.9, error * 3 * to ** 2) },
      { low: -to - blur, high: -from + blur, agreement: 1 - missed * (0.5 + to) },
    ]);
    return createPopulation({ name: "previewed", classes, kinds: plain(classes, [8, 12]) });
  },

  /** A rare class is wrong with full confidence; calibration sees few of its tokens. */
  rareClass(rng: Rng): Population {
    const error = errorScale(rng);
    const rare: ExitGivenClass[] = [
      { low: -0.1, high: 0, agreement: 0.1 },
      { low: -0.1, high: 0, agreement: 0.3 },
    ];
    const classes = [
      rare,
      ...steps(40).map(([from, to]) =>
        [3, 2].map((factor): ExitGivenClass => ({
          low: -to,
          high: -from,
          agreement: 1 - Math.min(0.9, error * factor * to ** 3),
        })),
      ),
    ];
    const weight = 40 * error * (0.05 + 0.1 * rng.uniform());
    return createPopulation({
      name: "rareClass",
      classes,
      kinds: [{ share: 1, length: [8, 12], classes: [weight, ...steps(40).map(() => 1)] }],
    });
  },

  /** Some documents are wrong throughout, with ordinary confidence: tokens of a document are far from independent. */
  clustered(rng: Rng): Population {
    return clustered({
      share: 0.03 + 0.07 * rng.uniform(),
      hostile: 0.5 + 0.4 * rng.uniform(),
      benign: errorScale(rng) / 3,
      length: [30, 50],
    });
  },

  /** Sampled text: random distributions of heads and full model after random processors; the loss is their distance. */
  sampled(rng: Rng): Population {
    return sampledPopulation(rng);
  },

  /** Hard documents become more common during calibration: exchangeability fails, and so does every guarantee. */
  drift(rng: Rng): Population {
    const error = errorScale(rng);
    const curve = (factor: number): ExitGivenClass[][] =>
      steps(20).map(([from, to]) =>
        [3, 2].map((exit): ExitGivenClass => ({
          low: -to,
          high: -from,
          agreement: 1 - Math.min(0.9, exit * factor * to ** 2),
        })),
      );
    const now = curve(error * 0.5);
    const later = curve(error * 3);
    const kinds = [
      { share: 0.3, shareAtStart: 1, length: [8, 12], classes: [...now.map(() => 1), ...later.map(() => 0)] },
      { share: 0.7, shareAtStart: 0, length: [8, 12], classes: [...now.map(() => 0), ...later.map(() => 1)] },
    ] as const satisfies DocumentKind[];
    return createPopulation({ name: "drift", classes: [...now, ...later], kinds });
  },
} as const satisfies Record<string, (rng: Rng) => Population>;

interface ClusteredOptions {
  /** The share of documents that are bad throughout. */
  readonly share: number;
  /** The error probability in bad documents. */
  readonly hostile: number;
  /** The size of the error in the others. */
  readonly benign: number;
  readonly length: readonly [number, number];
}

function clustered({ share, hostile, benign, length }: ClusteredOptions): Population {
  const mild = steps(40).map(([from, to]): ExitGivenClass[] => [
    { low: -to, high: -from, agreement: 0.99 - Math.min(0.8, benign * to ** 2) },
  ]);
  const severe: ExitGivenClass[] = [{ low: -1, high: 0, agreement: 1 - hostile }];
  const kinds: DocumentKind[] = [
    { share: 1 - share, length, classes: [...mild.map(() => 1), 0] },
    { share, length, classes: [...mild.map(() => 0), 1] },
  ];
  return createPopulation({ name: "clustered", classes: [...mild, severe], kinds });
}

function byDifficulty(name: string, rng: Rng, exits: number, length: readonly [number, number]): Population {
  const error = errorScale(rng);
  const noise = 0.05 + 0.2 * rng.uniform();
  const classes = steps(60).map(([from, to]) =>
    Array.from({ length: exits }, (_, exit): ExitGivenClass => ({
      low: -to - noise,
      high: -from + noise,
      agreement: 1 - Math.min(0.9, error * (1 + exits - exit) * to ** 2),
    })),
  );
  return createPopulation({ name, classes, kinds: plain(classes, length) });
}

/** Log-uniform from 0.03 to 0.6, so that targets from 0.8 to 0.99 are attainable in some populations only. */
function errorScale(rng: Rng): number {
  return 0.03 * 20 ** rng.uniform();
}

/** [0, 1] in equal intervals. */
function steps(count: number): (readonly [number, number])[] {
  return Array.from({ length: count }, (_, i) => [i / count, (i + 1) / count] as const);
}

/** One kind of documents, with equal weights for all classes. */
function plain(classes: readonly unknown[], length: readonly [number, number]): DocumentKind[] {
  return [{ share: 1, length, classes: classes.map(() => 1) }];
}
