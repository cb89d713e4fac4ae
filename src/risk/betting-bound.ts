/**
 * The betting bound of Waudby-Smith and Ramdas ("Estimating means of bounded random variables by betting", 2024) for a
 * sequence of losses x in [0, 1]. A gambler bets against the null hypothesis "mean > m" and wins if losses stay below
 * m. Under the null hypothesis the wealth is a nonnegative supermartingale, so by Ville's inequality the probability
 * that it ever reaches 1/δ is at most δ.
 *   μ_i  = (1/2 + Σ_{j<=i} x_j) / (i+1)
 *   σ²_i = (1/4 + Σ_{j<=i} (x_j - μ_j)²) / (i+1),  σ²_0 = 1/4
 *   ν_i  = min(sqrt(2 ln(1/δ) / (n σ²_{i-1})), 1)     the stake, fixed before x_i is seen
 *   K_i(m) = Π_{j<=i} (1 - ν_j (x_j - m))             the wealth
 *   upper limit: inf{m : max_i K_i(m) > 1/δ}          p-value for "mean > α": 1 / max_i K_i(α)
 * Differences d in [-1, 1] are x = (1 + d) / 2 against m = (1 + ε) / 2, with stakes up to 1/m in place of 1: on d
 * itself up to 1/(1 + ε). Any stakes are valid that keep 1 - ν (x - m) >= 0; these have power where few answers lose.
 * In the p-value δ only tunes the stakes; any value is valid. The bound adapts to the variance, so losses of documents
 * (shares, far from 0 and 1) need fewer units than with Hoeffding-Bentkus. The result depends on the order of the data,
 * which must be fixed without looking at the losses, for instance by a seeded hash of each document.
 */
import { type MeanBound, requireInside, requireLosses, smallest } from "./check.js";

/**
 * Bounds the mean of losses in [0, 1], which are read in the order given: fix it without looking at them, or shuffle.
 * Sorted losses void the bound. `delta` also tunes the stakes. Throws an OptionError for losses outside [0, 1], and for
 * a level or delta outside (0, 1).
 */
export function bettingBound(losses: ArrayLike<number>, level: number, delta: number): MeanBound {
  const pValue = wsrPValue(losses, level, delta);
  const sum = requireLosses("bettingBound", losses);
  return { mean: sum / losses.length, pValue, upper: wsrUpper(losses, delta) };
}

/** p-value for the null hypothesis "mean loss > level". No stake exceeds `most`, which is at most 1 / (1 - level). */
export function wsrPValue(losses: ArrayLike<number>, level: number, delta: number, most = 1): number {
  requireLosses("bettingBound", losses);
  requireInside("bettingBound: level", level);
  requireInside("bettingBound: delta", delta);
  return Math.exp(-largestLogWealth(losses, wsrStakes(losses, delta, most), level));
}

/** p-value for the null hypothesis "mean difference > level", of differences in [-1, 1] and a level in (0, 1). */
export function differencePValue(differences: Float64Array, level: number, delta: number): number {
  const middle = (1 + level) / 2;
  return wsrPValue(
    differences.map((difference) => (1 + difference) / 2),
    middle,
    delta,
    1 / middle,
  );
}

function wsrUpper(losses: ArrayLike<number>, delta: number): number {
  const stakes = wsrStakes(losses, delta);
  const rejects = (m: number): boolean => largestLogWealth(losses, stakes, m) > -Math.log(delta); // monotone in m
  return rejects(1) ? smallest(rejects) : 1;
}

/** The stakes ν_1..ν_n. */
function wsrStakes(losses: ArrayLike<number>, delta: number, most = 1): Float64Array {
  const n = losses.length;
  const stakes = new Float64Array(n);
  const scale = (-2 * Math.log(delta)) / n;
  let sum = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  for (let i = 0; i < n; i++) {
    stakes[i] = Math.min(Math.sqrt(scale / variance), most);
    sum += losses[i]!;
    squares += (losses[i]! - sum / (i + 2)) ** 2;
    variance = squares / (i + 2);
  }
  return stakes;
}

/** ln max(1, max_i K_i(m)): with the initial wealth of 1, a p-value never exceeds 1. */
function largestLogWealth(losses: ArrayLike<number>, stakes: Float64Array, m: number): number {
  let wealth = 0;
  let largest = 0;
  for (let i = 0; i < losses.length; i++) {
    wealth += Math.log1p(-stakes[i]! * (losses[i]! - m)); // -Infinity if the gambler loses everything
    if (wealth > largest) largest = wealth;
  }
  return largest;
}
