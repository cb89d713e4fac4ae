/**
 * The betting bound of Waudby-Smith and Ramdas ("Estimating means of bounded random variables by betting", 2024) for
 * losses x in [0, 1] given one after the other. A gambler bets against "mean > m": wealth grows when losses stay below
 * m. If the mean really is above m the wealth is a supermartingale, so by Ville's inequality it ever reaches 1/δ with
 * probability <= δ.
 *   μ_i = (1/2 + Σ_{j<=i} x_j) / (i+1)      σ²_i = (1/4 + Σ_{j<=i} (x_j - μ_j)²) / (i+1),  σ²_0 = 1/4
 *   ν_i = min(sqrt(2 ln(1/δ) / (n σ²_{i-1})), 1)   the stake: known before x_i is seen
 *   K_i(m) = Π_{j<=i} (1 - ν_j (x_j - m))          the wealth
 * Upper limit: inf{m : max_i K_i(m) > 1/δ}. p-value of "mean > α": 1 / max_i K_i(α); δ only tunes the stakes, any value
 * is valid. It adapts to the variance, so document losses (shares, far from 0/1) cost it fewer units than
 * Hoeffding-Bentkus. The result depends on the order of the data, which must be fixed without looking at the losses: a
 * seeded hash of the document.
 */
import { requireDelta, requireLevel, requireLosses } from "./check.js";

/** p-value of "mean loss > level". */
export function wsrPValue(losses: ArrayLike<number>, level: number, delta: number): number {
  requireLosses("wsrPValue", losses);
  requireLevel("wsrPValue", level);
  requireDelta("wsrPValue", delta);
  return Math.exp(-largestLogWealth(losses, wsrStakes(losses, delta), level));
}

/** Upper limit of the mean loss, at confidence 1 - delta. */
export function wsrUpper(losses: ArrayLike<number>, delta: number): number {
  requireLosses("wsrUpper", losses);
  requireDelta("wsrUpper", delta);
  const stakes = wsrStakes(losses, delta);
  const enough = (m: number): boolean => largestLogWealth(losses, stakes, m) > -Math.log(delta); // grows in m
  if (!enough(1)) return 1;
  let low = 0;
  let high = 1;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (enough(middle)) high = middle;
    else low = middle;
  }
}

/** ν_1..ν_n. */
function wsrStakes(losses: ArrayLike<number>, delta: number): Float64Array {
  const n = losses.length;
  const stakes = new Float64Array(n);
  const scale = (-2 * Math.log(delta)) / n;
  let sum = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  for (let i = 0; i < n; i++) {
    stakes[i] = Math.min(Math.sqrt(scale / variance), 1);
    sum += losses[i]!;
    squares += (losses[i]! - sum / (i + 2)) ** 2;
    variance = squares / (i + 2);
  }
  return stakes;
}

/** ln max(1, max_i K_i(m)): the empty bet, wealth 1, counts, so that a p-value never exceeds 1. */
function largestLogWealth(losses: ArrayLike<number>, stakes: Float64Array, m: number): number {
  let wealth = 0;
  let largest = 0;
  for (let i = 0; i < losses.length; i++) {
    wealth += Math.log1p(-stakes[i]! * (losses[i]! - m)); // -Infinity once everything staked is lost
    if (wealth > largest) largest = wealth;
  }
  return largest;
}
