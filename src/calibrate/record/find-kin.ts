/**
 * Copies among documents, and documents that share passages.
 *   copy      resembles another in both parts, prompt and judged text, each compared alone: the same words, or at least
 *             3/5 of each one's passages of 5 words are in the other; of a part below 16 words, the same words only
 *   class     in ascending order of their hashes, each document joins the first leader that it is a copy of, or else
 *             leads a class of its own: the order of a file does not matter, and no document joins two others
 *   cluster   documents with a passage of 8 words in common, transitively; a hint, no more. A passage that more than
 *             a tenth of the documents have is a header or a phrase of the trade, and joins nobody
 * Five words, because with eight, copies in which one word in 50 was replaced at random fall into several classes.
 * Passages, or all words of a short part, are compared by a 53-bit hash. Two parts that share 3/5 of them share one of
 * the rarest 2/5, so only these are looked up: a header that thousands of documents share costs nothing.
 */
import { hashOf, passagesOf } from "../../model/passages.js";

/** Words of a part of which only the same words are a copy's. */
export const SHORT = 16;

interface Comparable {
  readonly hash: string;
  /** Words of the prompt, and of the judged text. */
  readonly parts: readonly (readonly string[])[];
}

export interface Kinship {
  /** The hash of its class's leader. @default its own */
  readonly kin?: string;
  /** The smallest hash of its cluster. @default its own */
  readonly cluster?: string;
}

export function findKin(documents: readonly Comparable[]): Kinship[] {
  const distinct = [...new Map(documents.map((one) => [one.hash, one])).values()];
  distinct.sort((a, b) => (a.hash < b.hash ? -1 : 1));
  const leaders = findLeaders(distinct);
  const clusters = findClusters(distinct, leaders);
  const kin = new Map(
    distinct.map(({ hash }, d) => [hash, { kin: distinct[leaders[d]!]!.hash, cluster: distinct[clusters[d]!]!.hash }]),
  );
  return documents.map(({ hash }) => kin.get(hash)!);
}

/** Per document, in ascending order of hashes, the leader of its class. */
function findLeaders(documents: readonly Comparable[]): number[] {
  const sides = [0, 1].map((side) => {
    const features = documents.map(({ parts }) => featuresOf(parts[side]!));
    const counts = countsOf(features);
    const rare = features.map((own) =>
      [...own].sort((a, b) => counts.get(a)! - counts.get(b)! || a - b).slice(0, Math.floor((2 * own.size) / 5) + 1),
    );
    return { features, rare, holders: new Map<number, number[]>() };
  });
  return documents.map((_, d) => {
    const reached = sides.map(({ rare, holders }) => rare[d]!.map((one) => holders.get(one) ?? []));
    const [fewest] = reached.sort((a, b) => lengthOf(a) - lengthOf(b));
    const met = [...new Set(fewest!.flat())].sort((a, b) => a - b);
    const leader = met.find((other) => sides.every(({ features }) => resemble(features[d]!, features[other]!)));
    if (leader !== undefined) return leader;
    for (const { rare, holders } of sides) {
      for (const one of rare[d]!) {
        const known = holders.get(one);
        if (known === undefined) holders.set(one, [d]);
        else known.push(d);
      }
    }
    return d;
  });
}

/** The number of sets that have each feature. */
function countsOf(features: readonly ReadonlySet<number>[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const own of features) {
    for (const one of own) counts.set(one, (counts.get(one) ?? 0) + 1);
  }
  return counts;
}

function lengthOf(lists: readonly (readonly number[])[]): number {
  return lists.reduce((sum, { length }) => sum + length, 0);
}

function resemble(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  const enough = 3 * Math.max(a.size, b.size);
  if (5 * Math.min(a.size, b.size) < enough) return false;
  let common = 0;
  for (const one of a) common += Number(b.has(one));
  return 5 * common >= enough;
}

function featuresOf(words: readonly string[]): Set<number> {
  return new Set(words.length < SHORT ? [hashOf(`= ${words.join(" ")}`)] : passagesOf(words, 5));
}

/** Per document, the first of its cluster, by union-find. */
function findClusters(documents: readonly Comparable[], leaders: readonly number[]): number[] {
  const parents = [...documents.keys()];
  const rootOf = (member: number): number => {
    let at = member;
    while (parents[at] !== at) {
      parents[at] = parents[parents[at]!]!;
      at = parents[at]!;
    }
    return at;
  };
  const join = (one: number, other: number) => {
    const [a, b] = [rootOf(one), rootOf(other)];
    parents[Math.max(a, b)] = Math.min(a, b);
  };
  const passages = documents.map(({ parts }) => new Set(passagesOf(parts.flat(), 8)));
  const counts = countsOf(passages);
  const firsts = new Map<number, number>();
  passages.forEach((own, d) => {
    join(leaders[d]!, d);
    for (const passage of own) {
      if (counts.get(passage)! > documents.length / 10) continue;
      const first = firsts.get(passage);
      if (first === undefined) firsts.set(passage, d);
      else join(first, d);
    }
  });
  return parents.map((_, d) => rootOf(d));
}
