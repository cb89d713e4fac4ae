/**
 * The threshold of one head as published (arXiv 2407.21082, section on thresholds), by the four strategies of the
 * released code. Sort positions by oriented score; A_k is the mean agreement of the k most confident. For a level a:
 *   maxCoverage   the score at the largest k with A_k >= a
 *   minCoverage   the score at the smallest such k
 *   midpoint      halfway between the scores at that k and the next
 *   platt         a logistic fit of agreement on score, solved for a, clipped to the observed scores
 * Equal scores form one block: k counts whole blocks. A head that never reaches the level gets "never" (the released
 * code exits anyway). Kept for comparison: the rule carries NO guarantee. On a population where some threshold reaches
 * the target exactly, the chosen threshold misses it about half of the time; heads after the first are calibrated on
 * tokens that they will not answer; and tokens of one document are treated as independent.
 */
import { OptionError, requireNumber } from "../../errors.js";
import { orientScore, type ScoreName, type Threshold } from "../../exits/heads/score.js";

export type PaperStrategy = "maxCoverage" | "minCoverage" | "midpoint" | "platt";
export const paperStrategies = [
  "maxCoverage",
  "minCoverage",
  "midpoint",
  "platt",
] as const satisfies readonly PaperStrategy[];

interface PaperOptions {
  /** @default "entropy" */
  readonly score?: ScoreName;
  /** @default "maxCoverage" */
  readonly strategy?: PaperStrategy;
}

export const paperDefaults = { score: "entropy", strategy: "maxCoverage" } as const satisfies PaperOptions;

/** Returns the threshold of one head for a level, from raw scores and agreements at the same positions. */
export function paperThreshold(
  scores: ArrayLike<number>,
  agrees: ArrayLike<boolean | number>,
  level: number,
  { score = paperDefaults.score, strategy = paperDefaults.strategy }: PaperOptions = {},
): Threshold {
  requireNumber("paperThreshold: level", level, 0, 1);
  if (scores.length !== agrees.length) {
    throw new OptionError("lengths-differ", `paperThreshold: ${scores.length} scores but ${agrees.length} agreements`, {
      scores: scores.length,
      agrees: agrees.length,
    });
  }
  const oriented = Float64Array.from(scores, (value) => orientScore(value, score));
  if (oriented.some((value) => Number.isNaN(value))) {
    throw new OptionError("score-nan", "paperThreshold: a score is NaN; the head's logits are broken");
  }
  if (!paperStrategies.includes(strategy)) {
    throw new OptionError(
      "strategy-unknown",
      `paperThreshold: strategy ${JSON.stringify(strategy)} does not exist; ` +
        `choose one of ${paperStrategies.join(", ")}`,
      { strategy },
    );
  }
  const blocks = tieBlocks(oriented, agrees);
  const passing = blocks
    .map((block, index) => (block.meanAgreement >= level ? index : -1))
    .filter((index) => index >= 0);
  const first = passing[0];
  const last = passing.at(-1);
  const raw = (value: number): number => orientScore(value, score);
  switch (strategy) {
    case "maxCoverage":
      return last === undefined ? "never" : raw(blocks[last]!.oriented);
    case "minCoverage":
      return first === undefined ? "never" : raw(blocks[first]!.oriented);
    case "midpoint": {
      if (last === undefined) return "never";
      const next = blocks[last + 1] ?? blocks[last]!;
      return raw((blocks[last]!.oriented + next.oriented) / 2);
    }
    case "platt": {
      const solved = plattScore(oriented, agrees, level);
      return solved === undefined ? "never" : raw(solved);
    }
  }
}

interface TieBlock {
  readonly oriented: number;
  readonly meanAgreement: number;
}

/** Blocks of equal oriented score, the most confident first. */
function tieBlocks(oriented: Float64Array, agrees: ArrayLike<boolean | number>): TieBlock[] {
  const order = Uint32Array.from(oriented, (_, i) => i).sort((a, b) => oriented[b]! - oriented[a]!);
  const blocks: TieBlock[] = [];
  let agreed = 0;
  order.forEach((i, rank) => {
    if (agrees[i]) agreed++;
    const next = order[rank + 1];
    if (next === undefined || oriented[next] !== oriented[i]) {
      blocks.push({ oriented: oriented[i]!, meanAgreement: agreed / (rank + 1) });
    }
  });
  return blocks;
}

/**
 * The oriented score at which a logistic fit P(agree | u) = σ(αu + β) reaches `level`, clipped to the observed range;
 * undefined if even the most confident score does not.
 */
function plattScore(u: Float64Array, agrees: ArrayLike<boolean | number>, level: number): number | undefined {
  const most = u.reduce((max, value) => Math.max(max, value), -Infinity);
  const least = u.reduce((min, value) => Math.min(min, value), Infinity);
  if (u.length === 0) return undefined;
  const agreed = Array.from(agrees).filter(Boolean).length;
  if (agreed === u.length) return least;
  if (agreed === 0 || most === least) return agreed / u.length >= level ? least : undefined;
  const { slope, intercept } = logisticFit(u, agrees);
  const target = Math.log(level / (1 - level));
  if (slope * most + intercept < target) return undefined;
  if (slope * least + intercept >= target) return least;
  return (target - intercept) / slope;
}

/** Newton's method on standardised scores. A small ridge keeps the fit finite on separable data. */
function logisticFit(u: Float64Array, agrees: ArrayLike<boolean | number>): { slope: number; intercept: number } {
  const mean = u.reduce((sum, value) => sum + value / u.length, 0);
  const deviation = Math.sqrt(u.reduce((sum, value) => sum + (value - mean) ** 2 / u.length, 0));
  const x = u.map((value) => (value - mean) / deviation);
  const ridge = 1e-6 * u.length;
  let a = 0;
  let b = 0;
  for (let iteration = 0; iteration < 50; iteration++) {
    let ga = -ridge * a;
    let gb = -ridge * b;
    let haa = ridge;
    let hab = 0;
    let hbb = ridge;
    x.forEach((value, i) => {
      const p = 1 / (1 + Math.exp(-(a * value + b)));
      const residual = (agrees[i] ? 1 : 0) - p;
      const weight = p * (1 - p);
      ga += residual * value;
      gb += residual;
      haa += weight * value * value;
      hab += weight * value;
      hbb += weight;
    });
    const determinant = haa * hbb - hab * hab;
    const da = (hbb * ga - hab * gb) / determinant;
    const db = (haa * gb - hab * ga) / determinant;
    a += da;
    b += db;
    if (Math.abs(da) + Math.abs(db) < 1e-12) break;
  }
  return { slope: a / deviation, intercept: b - (a * mean) / deviation };
}
