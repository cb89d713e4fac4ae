/**
 * The one-sided Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant (1990): an empirical distribution
 * function stays within sqrt(ln(1/δ) / 2n) of the true one everywhere at once, with probability 1-δ. For one exit, G(t)
 * = P(exits at t and wrong) is such a function (of the score, on the wrong tokens), so the threshold may be chosen
 * after looking: P(exists t: G(t) > Ĝ(t) + slack) <= δ. For a cascade of K exits, add the exits up at δ/K each.
 * One-sided, hence only for δ <= 1/2.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { hoeffdingSlack } from "./hoeffding.js";

/** The width of the band above the empirical function of n independent units. */
export function dkwSlack(n: number, delta: number): number {
  requireInteger("dkwSlack: n", n, 1);
  requireNumber("dkwSlack: delta", delta, Number.MIN_VALUE, 0.5);
  return hoeffdingSlack(n, delta);
}
