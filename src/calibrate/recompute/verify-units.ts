/**
 * The units of a test, documents or groups of consecutive ones, and what groups and copies say about a mean:
 *   weighted mean    Σ_u (Σ_{d in u} c_d x_d / n_u) / Σ_u (Σ_{d in u} c_d / n_u),  c_d copies, n_u documents of unit u
 *   design effect    1 + (Σ m_g² / n - 1) max(0, ρ),   ρ = (B - W) / (B + (m₀ - 1) W),
 *                    m₀ = (n - Σ m_g² / n) / (k - 1)
 * with B and W the mean squares between and within k groups of m_g documents, n in all (analysis of variance).
 */
import type { Certificate } from "../certificate/certificate.js";
import { sum } from "./verify-values.js";

export function testedTokens({ documents, split }: Certificate): number[] {
  return documents.slice(split.grid).map(({ tokens }) => tokens);
}

/** Unit u of the test holds the test documents starts[u] .. starts[u + 1] - 1. */
export function unitStarts({ unit, documents, split }: Certificate): number[] {
  const tested = documents.slice(split.grid);
  const starts = tested.flatMap(({ group }, d) =>
    d === 0 || unit !== "group" || group !== tested[d - 1]!.group ? [d] : [],
  );
  return [...starts, tested.length];
}

export function unitMeans(values: readonly number[], starts: readonly number[]): number[] {
  return starts.slice(1).map((end, u) => {
    const begin = starts[u]!;
    return sum(values.slice(begin, end)) / (end - begin);
  });
}

/** Documents weighted by their copies. */
export function weightedMean(values: readonly number[], starts: readonly number[], copies: readonly number[]): number {
  const weights = unitMeans(copies, starts);
  const weighted = unitMeans(
    values.map((value, d) => value * copies[d]!),
    starts,
  );
  return sum(weighted) / sum(weights);
}

/** The factor by which groups inflate the variance of the mean; null if they cannot tell. */
export function inflationOf(values: readonly number[], groups: readonly string[]): number | null {
  const members = new Map<string, number[]>();
  values.forEach((value, d) => {
    const group = members.get(groups[d]!);
    if (group === undefined) members.set(groups[d]!, [value]);
    else group.push(value);
  });
  const n = values.length;
  const k = members.size;
  if (k < 2 || k === n) return null;
  const mean = sum(values) / n;
  const sizes = Array.from(members.values(), (group) => group.length);
  const squares = sum(sizes.map((size) => size * size)) / n;
  let between = 0;
  let within = 0;
  for (const group of members.values()) {
    const own = sum(group) / group.length;
    between += group.length * (own - mean) ** 2;
    within += sum(group.map((value) => (value - own) ** 2));
  }
  between /= k - 1;
  within /= n - k;
  const size = (n - squares) / (k - 1);
  const spread = between + (size - 1) * within;
  if (!(spread > 0)) return null;
  return 1 + (squares - 1) * Math.max(0, (between - within) / spread);
}
