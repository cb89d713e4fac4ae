/**
 * The loss of a token: total variation between the full model's distribution p and the distribution q used instead,
 * both after the same processors (sampling.ts):
 *   TV(p, q) = Σ_i max(0, p_i - q_i) = 1 - Σ_i min(p_i, q_i)
 * 1 - TV is the probability that a best coupling of the two draws the same token; at temperature 0 the distance is 1 if
 * the argmax differs, else 0. Rounded up to multiples of 2^-20, losses are integers and their sums exact.
 */

/** Units (2^-20) in the loss of a token that is certain to change. */
export const LOSS_UNIT = 2 ** 20;

/** TV(p, q) in units of 2^-20, rounded up: an integer in [0, 2^20]. */
export function totalVariation(p: Float64Array, q: Float64Array): number {
  let above = 0;
  let below = 0;
  for (let i = 0; i < p.length; i++) {
    const difference = p[i]! - q[i]!;
    if (difference > 0) above += difference;
    else below -= difference;
  }
  // The two sums are equal but for rounding; the larger is the safe one.
  return Math.min(LOSS_UNIT, Math.ceil(Math.max(above, below) * LOSS_UNIT));
}
