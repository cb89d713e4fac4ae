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

/** The residual of p and q, written to `into`, which may be p. */
export function residual(
  p: Float64Array,
  q: Float64Array,
  into: Float64Array = new Float64Array(p.length),
): Float64Array {
  let total = 0;
  for (let i = 0; i < p.length; i++) total += Math.max(0, p[i]! - q[i]!);
  if (total === 0) return p; // p = q up to rounding: only rounding can have rejected the draft
  for (let i = 0; i < p.length; i++) into[i] = Math.max(0, p[i]! - q[i]!) / total;
  return into;
}

/** The residual if the draft x was certain; changes p. */
export function residualOfCertain(p: Float64Array, x: number): Float64Array {
  p[x] = 0;
  const total = p.reduce((sum, share) => sum + share, 0);
  for (let i = 0; i < p.length; i++) p[i]! /= total;
  return p;
}
