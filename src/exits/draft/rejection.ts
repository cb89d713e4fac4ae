/**
 * Rejection sampling: exact samples from p, by way of a cheaper q (Leviathan et al. 2023; Chen et al. 2023). A draft
 * x ~ q is accepted with probability min(1, p(x)/q(x)); a rejected one is replaced by a draw from the residual
 * (p - q)+ / Σ(p - q)+, where (·)+ is max(0, ·). Then
 *   P(x) = min(p(x), q(x)) + (1 - Σ min(p, q)) · (p(x) - q(x))+ / Σ(p - q)+ = p(x)
 * This is exact only if the decision to draft did not depend on x.
 */

export function acceptance(p: Float64Array, q: Float64Array, x: number): number {
  return Math.min(1, p[x]! / q[x]!);
}

export function residual(p: Float64Array, q: Float64Array): Float64Array {
  const surplus = new Float64Array(p.length);
  let total = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i]! > q[i]!) {
      surplus[i] = p[i]! - q[i]!;
      total += surplus[i]!;
    }
  }
  if (total === 0) return p; // p = q up to rounding: only rounding can have rejected the draft
  for (let i = 0; i < p.length; i++) surplus[i]! /= total;
  return surplus;
}
