/**
 * The factor by which dependence inflates the variance of a mean over documents. From groups of m_g documents each, k
 * groups and n documents in all, by analysis of variance:
 *   ρ = (B - W) / (B + (m₀ - 1) W),   m₀ = (n - Σ m_g² / n) / (k - 1)        the intra-class correlation
 *   effect = 1 + (Σ m_g² / n - 1) max(0, ρ)
 * with B and W the mean squares between and within groups. From the order of the documents, if neighbours resemble each
 * other:
 *   effect = 1 + 2 Σ_l (1 - l / n) r_l,   r_l the autocorrelation at lag l, up to the first pair of lags with
 *   r_2j-1 + r_2j <= 0 (initial positive sequence, Geyer 1992)
 * Both are estimates, part of no guarantee.
 */

/** From groups, named per document; null if they cannot tell: one group, single documents, or equal losses. */
export function designEffectOf(losses: readonly number[], groups: readonly string[]): number | null {
  const n = losses.length;
  const members = new Map<string, number[]>();
  losses.forEach((loss, d) => {
    members.set(groups[d]!, [...(members.get(groups[d]!) ?? []), loss]);
  });
  const k = members.size;
  if (k < 2 || k === n) return null;
  const mean = meanOf(losses);
  let [between, within, sizes] = [0, 0, 0];
  for (const values of members.values()) {
    const own = meanOf(values);
    between += values.length * (own - mean) ** 2;
    for (const value of values) within += (value - own) ** 2;
    sizes += values.length ** 2 / n;
  }
  const [b, w] = [between / (k - 1), within / (n - k)];
  const spread = b + ((n - sizes) / (k - 1) - 1) * w;
  return spread > 0 ? 1 + (sizes - 1) * Math.max(0, (b - w) / spread) : null;
}

/** From the order of documents; null for fewer than 20, or equal losses. */
export function designEffectInOrder(losses: readonly number[]): number | null {
  const n = losses.length;
  const mean = meanOf(losses);
  const centred = losses.map((loss) => loss - mean);
  const covariance = (lag: number): number => {
    let sum = 0;
    for (let d = lag; d < n; d++) sum += centred[d]! * centred[d - lag]!;
    return sum / n;
  };
  const variance = covariance(0);
  if (n < 20 || !(variance > 0)) return null;
  let effect = 1;
  for (let lag = 1; lag + 1 <= n / 4; lag += 2) {
    const pair = covariance(lag) + covariance(lag + 1);
    if (pair <= 0) break;
    effect += (2 * (1 - lag / n) * pair) / variance;
  }
  return effect;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
