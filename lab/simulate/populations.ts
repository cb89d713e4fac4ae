/**
 * The populations on which procedures are judged. Two are counterexamples to the published rule, curve and cascade
 * (docs/06-calibration.md); the others are families: each draw of parameters is another population of the same vice,
 * so that a law is tested on many of them.
 */
import type { Rng } from "../../src/tensor/index.js";
import { createPopulation, type DocumentKind, type ExitGivenClass, type Population } from "./population.js";

/**
 * Section 5.1. One exit, uncertainty u uniform on (0, 1), P(wrong | u) = .6 u²: the selective agreement at threshold τ
 * is 1 - .2 τ².
 */
export function curvePopulation(): Population {
  const classes = steps(200).map(([from, to]): ExitGivenClass[] => [
    { low: -to, high: -from, agreement: 1 - (0.2 * (to ** 3 - from ** 3)) / (to - from) },
  ]);
  return createPopulation({ name: "curve", classes, kinds: plain(classes, [10, 10]) });
}

/**
 * Section 5.2. The first exit takes the easy half; the second agrees on .910 of all tokens, which a calibration on all
 * tokens finds good enough for .90, but on .815 of the hard tokens that are all it ever answers.
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
 * A clustered population whose selective risk crosses .1 at about three quarters of the tokens, most of it from one
 * document in twelve.
 */
export function clusteredPopulation(): Population {
  return clustered({ share: 0.08, hostile: 0.9, benign: 0.11, length: [50, 70] });
}

export type PopulationFamily = keyof typeof populationFamilies;

/** Families by their vice; each takes the randomness from which its parameters are drawn. */
export const populationFamilies = {
  /** Difficulty runs through all exits; deeper exits are better; nothing nasty. The size of the error is drawn. */
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

  /** The surest tokens are the worst: risk falls, then rises, as thresholds are relaxed. */
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

  /** As in the cascade above: an exit that looks good on all tokens answers only those that the one before refused. */
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

  /** The first head knows nothing: its score says nothing and it is mostly wrong. */
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

  /** A rare class is wrong with full confidence; calibration sees few of it. */
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

  /**
   * Some documents are wrong throughout and as sure as the rest, so the tokens of a document are far from independent.
   */
  clustered(rng: Rng): Population {
    return clustered({
      share: 0.03 + 0.07 * rng.uniform(),
      hostile: 0.5 + 0.4 * rng.uniform(),
      benign: errorScale(rng) / 3,
      length: [30, 50],
    });
  },

  /**
   * Hard documents become more common while calibration runs: no procedure here promises anything, and none keeps it.
   */
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

function clustered({
  share,
  hostile,
  benign,
  length,
}: {
  readonly share: number;
  readonly hostile: number;
  readonly benign: number;
  readonly length: readonly [number, number];
}): Population {
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

/**
 * From .03 to .6, evenly on a logarithmic scale, so that targets from .8 to .99 are within reach of some and beyond
 * others.
 */
function errorScale(rng: Rng): number {
  return 0.03 * 20 ** rng.uniform();
}

/** [0, 1] in equal steps. */
function steps(count: number): (readonly [number, number])[] {
  return Array.from({ length: count }, (_, i) => [i / count, (i + 1) / count] as const);
}

/** One kind of documents, classes alike. */
function plain(classes: readonly unknown[], length: readonly [number, number]): DocumentKind[] {
  return [{ share: 1, length, classes: classes.map(() => 1) }];
}
