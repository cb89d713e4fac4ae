/**
 * Permutation tests of what bounds assume, that losses are independent draws: if they are exchangeable, every order of
 * them is equally likely, so a statistic T of the order given exceeds that of random orders by chance alone:
 *   p = (1 + number of B random orders whose T is at least as large) / (B + 1)          P(p <= δ) <= δ, for any n and T
 * (Phipson and Smyth 2010). Beside p stands a design effect: the factor by which dependence inflates the variance of
 * the mean. It is an estimate, noisy even where losses are independent, so p decides whether it means anything.
 */
import { requireInteger, ShapeError } from "../errors.js";
import { createRng } from "../tensor/rng.js";
import { requireLosses } from "./check.js";

interface PermutationOptions {
  /** Of the random orders. @default 0 */
  readonly seed?: number;
  /** B: p is 1/(B + 1) at least. @default 999 */
  readonly permutations?: number;
}

interface Exchangeability {
  /** At most δ with probability δ, if losses are exchangeable. */
  readonly pValue: number;
  /** The correlation of losses with their places. */
  readonly trend: number;
  /** The correlation of neighbours. */
  readonly lag1: number;
  /** Factor by which dependence along the order inflates the variance of the mean; null below 20 units. */
  readonly designEffect: number | null;
}

/**
 * Tests losses in the order given for a trend and for neighbours that resemble each other; T is the larger of both
 * correlations, whatever their sign. Of 200 losses it finds, at δ = .01, a trend that explains a tenth of their
 * variance in nine draws of ten, and runs of ten alike that explain four tenths in as many. It is blind to everything
 * else: above all to clusters whose members are scattered, for which there is `clusterTest`. Throws an OptionError for
 * losses outside [0, 1].
 */
export function exchangeabilityTest(losses: ArrayLike<number>, options: PermutationOptions = {}): Exchangeability {
  const centred = centre("exchangeabilityTest", losses);
  const n = centred.length;
  const squares = products(centred, 0);
  const places = Math.sqrt((squares * n * (n * n - 1)) / 12); // of which the last factors are Σ (i - (n - 1) / 2)²
  const trendOf = (values: Float64Array): number => values.reduce((sum, value, i) => sum + i * value, 0) / places;
  const lagOf = (values: Float64Array): number => products(values, 1) / squares;
  const statistic = (values: Float64Array): number => Math.max(Math.abs(trendOf(values)), Math.abs(lagOf(values)));
  if (!(places > 0)) return { pValue: 1, trend: 0, lag1: 0, designEffect: null };
  return {
    pValue: permutationPValue("exchangeabilityTest", centred, statistic, options),
    trend: trendOf(centred),
    lag1: lagOf(centred),
    designEffect: n < 20 ? null : effectInOrder(centred),
  };
}

interface ClusterTest {
  /** At most δ with probability δ, if losses do not depend on the clusters. */
  readonly pValue: number;
  /** Factor by which clusters inflate the variance of the mean; null if they cannot tell. */
  readonly designEffect: number | null;
}

/**
 * Tests whether losses of one cluster (a source, a user, a day) resemble each other; `clusters` names each unit's. T is
 * the sum of squares between clusters. In 20 clusters of 10 that explain a fifth of the variance it finds them, at
 * δ = .01, in nine draws of ten. Where it finds that they do, clusters are the units: give the mean loss of each.
 * One cluster, single units and equal losses tell nothing: p is 1. Throws an OptionError for losses outside [0, 1], and
 * a ShapeError unless there is a name for each.
 */
export function clusterTest(
  losses: ArrayLike<number>,
  clusters: readonly (string | number)[],
  options: PermutationOptions = {},
): ClusterTest {
  const centred = centre("clusterTest", losses);
  const named = clusters.filter((name: unknown) => typeof name === "string" || typeof name === "number").length;
  if (clusters.length !== centred.length || named < clusters.length) {
    throw new ShapeError(
      "clusters-named",
      `clusterTest: ${named} names of clusters, strings or numbers, for ${centred.length} losses; name each one's ` +
        "cluster",
      { losses: centred.length, named },
    );
  }
  const designEffect = effectOfClusters(losses, clusters);
  if (designEffect === null) return { pValue: 1, designEffect };
  const { members, sizes } = clustersOf(clusters);
  const statistic = (values: Float64Array): number => between(values, members, sizes);
  return { pValue: permutationPValue("clusterTest", centred, statistic, options), designEffect };
}

/**
 * The design effect of clusters by analysis of variance, from m_g units in each of k clusters, n in all:
 *   ρ = (B - W) / (B + (m₀ - 1) W),   m₀ = (n - Σ m_g² / n) / (k - 1)        the intra-class correlation
 *   effect = 1 + (Σ m_g² / n - 1) max(0, ρ)
 * with B and W the mean squares between and within clusters. null if they cannot tell: one cluster, single units, or
 * equal losses.
 */
export function effectOfClusters(losses: ArrayLike<number>, clusters: readonly (string | number)[]): number | null {
  const n = clusters.length;
  const { members, sizes } = clustersOf(clusters);
  const k = sizes.length;
  if (k < 2 || k === n) return null;
  const lists = sizes.map((): number[] => []);
  members.forEach((member, unit) => lists[member]!.push(losses[unit]!));
  const mean = meanOf(Array.from(losses));
  let [among, within, squares] = [0, 0, 0];
  for (const values of lists) {
    const own = meanOf(values);
    among += values.length * (own - mean) ** 2;
    for (const value of values) within += (value - own) ** 2;
    squares += values.length ** 2 / n;
  }
  const [b, w] = [among / (k - 1), within / (n - k)];
  const spread = b + ((n - squares) / (k - 1) - 1) * w;
  return spread > 0 ? 1 + (squares - 1) * Math.max(0, (b - w) / spread) : null;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** [units] the number of each unit's cluster, and [clusters] how many units each has. */
function clustersOf(names: readonly (string | number)[]): { readonly members: number[]; readonly sizes: number[] } {
  const numbers = new Map<string | number, number>();
  const sizes: number[] = [];
  const members = names.map((name) => {
    const member = numbers.get(name) ?? numbers.size;
    numbers.set(name, member);
    sizes[member] = (sizes[member] ?? 0) + 1;
    return member;
  });
  return { members, sizes };
}

/** The sum of squares between clusters, of values whose mean is 0. */
function between(values: Float64Array, members: readonly number[], sizes: readonly number[]): number {
  const sums = new Float64Array(sizes.length);
  values.forEach((value, unit) => {
    sums[members[unit]!]! += value;
  });
  return sums.reduce((total, sum, g) => total + sum ** 2 / sizes[g]!, 0);
}

/**
 * 1 + 2 Σ_l (1 - l / n) r_l, with r_l the autocorrelation at lag l, up to the first pair of lags with
 * r_2j-1 + r_2j <= 0 (initial positive sequence, Geyer 1992).
 */
function effectInOrder(centred: Float64Array): number {
  const n = centred.length;
  let effect = 1;
  for (let lag = 1; lag + 1 <= n / 4; lag += 2) {
    const pair = products(centred, lag) + products(centred, lag + 1);
    if (pair <= 0) break;
    effect += (2 * (1 - lag / n) * pair) / products(centred, 0);
  }
  return effect;
}

/** Σ x_i x_(i - lag) */
function products(values: Float64Array, lag: number): number {
  let sum = 0;
  for (let i = lag; i < values.length; i++) sum += values[i]! * values[i - lag]!;
  return sum;
}

/** Losses less their mean; all 0 if they are equal. */
function centre(where: string, losses: ArrayLike<number>): Float64Array {
  const mean = requireLosses(where, losses) / losses.length;
  const centred = Float64Array.from(losses, (loss) => loss - mean);
  return centred.every((value) => Math.abs(value) < 1e-12) ? centred.fill(0) : centred;
}

function permutationPValue(
  where: string,
  values: Float64Array,
  statistic: (values: Float64Array) => number,
  { seed = 0, permutations = 999 }: PermutationOptions,
): number {
  requireInteger(`${where}: permutations`, permutations, 1);
  const rng = createRng(seed);
  const least = statistic(values) * (1 - 1e-9); // equal statistics must not differ by their rounding
  const order = values.slice();
  let reached = 0;
  for (let p = 0; p < permutations; p++) {
    for (let i = order.length - 1; i > 0; i--) {
      const j = rng.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    if (statistic(order) >= least) reached++;
  }
  return (1 + reached) / (1 + permutations);
}
