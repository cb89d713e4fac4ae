/**
 * The one-sided Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant (1990). With probability 1-δ, uniformly
 * in t, an empirical distribution function of n independent units stays within
 *   slack = sqrt(ln(1/δ) / 2n)
 * of the true one. For one exit, G(t) = P(leaves at threshold t and is wrong) is such a function (of the score, on the
 * wrong tokens), so the threshold may be chosen after looking at the data: P(some t has G(t) > Ĝ(t) + slack) <= δ.
 * For a cascade of K exits, add up the bounds of the exits, each at δ/K. The one-sided form requires δ <= 1/2.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { hoeffdingSlack } from "./hoeffding.js";

/** The width of the band above the empirical distribution function of n independent units. */
export function dkwSlack(n: number, delta: number): number {
  requireInteger("dkwSlack: n", n, 1);
  requireNumber("dkwSlack: delta", delta, Number.MIN_VALUE, 0.5);
  return hoeffdingSlack(n, delta);
}
