/**
 * Scores in bins, for the search for thresholds. Each exit's oriented scores are sorted once into at most 256 bins of
 * about equally many tokens; equal scores share a bin. A threshold becomes a cut, the number of most confident bins
 * that leave, and each step of the search is one pass over the tokens that adds up integers, so the result does not
 * depend on the order of the tokens.
 */
import { type LossColumn, lossesIn, type TokenTable } from "./token-table.js";

const BINS = 256;
/** The approximate number of tokens that the search for cuts looks at. */
const SEARCHED = 12_000;
/** In the search, the loss of a token is rounded up to a multiple of 1/256. */
export const LOSS_STEPS = 256;
/** Shares of documents are stored in fixed point, so that sums are exact and independent of the order of tokens. */
export const SHARE_UNIT = 2 ** 24;

export interface BinnedTokens {
  readonly tokens: number;
  readonly documents: number;
  readonly starts: Int32Array;
  /** Per exit: [tokens] index of the token's bin; 0 is the most confident bin. */
  readonly bins: readonly Uint16Array[];
  /** Per exit: the lowest oriented score in each bin, decreasing. */
  readonly edges: readonly (readonly number[])[];
  /** Per exit: [tokens] loss if the token leaves there, in 1/LOSS_STEPS. */
  readonly losses: readonly Uint16Array[];
  /** [tokens] loss if the token runs all blocks; absent if there is none. */
  readonly deep?: Uint16Array;
  /** [tokens] SHARE_UNIT / number of tokens in the token's document. */
  readonly share: Float64Array;
}

export function binTokens(table: TokenTable): BinnedTokens {
  const { documents, starts, oriented } = table;
  const { lossScale, exits: losses, deep } = lossesIn(table);
  const tokens = starts[documents]!;
  const edges = oriented.map((column) => {
    const sorted = column.slice().sort();
    const quantiles = Array.from(
      { length: BINS },
      (_, b) => sorted[Math.max(0, tokens - Math.ceil((tokens * (b + 1)) / BINS))]!,
    );
    return quantiles.filter((edge, b) => edge !== quantiles[b - 1]);
  });
  const bins = oriented.map((column, exit) => {
    const indices = new Uint16Array(tokens);
    for (let t = 0; t < tokens; t++) indices[t] = firstAtMost(edges[exit]!, column[t]!);
    return indices;
  });
  const share = new Float64Array(tokens);
  for (let d = 0; d < documents; d++) {
    share.fill(Math.round(SHARE_UNIT / (starts[d + 1]! - starts[d]!)), starts[d], starts[d + 1]);
  }
  const coarse = (column: LossColumn): Uint16Array =>
    Uint16Array.from(column, (loss) => Math.ceil((loss * LOSS_STEPS) / lossScale));
  return {
    tokens,
    documents,
    starts,
    bins,
    edges,
    losses: losses.map(coarse),
    ...(deep && { deep: coarse(deep) }),
    share,
  };
}

/** Keeps every k-th document, about SEARCHED tokens in all. */
export function thin(binned: BinnedTokens): BinnedTokens {
  const step = Math.ceil(binned.tokens / SEARCHED);
  if (step === 1) return binned;
  const chosen = Array.from({ length: Math.ceil(binned.documents / step) }, (_, i) => i * step);
  const starts = new Int32Array(chosen.length + 1);
  chosen.forEach((d, i) => {
    starts[i + 1] = starts[i]! + binned.starts[d + 1]! - binned.starts[d]!;
  });
  const tokens = starts[chosen.length]!;
  const gather = <Column extends Float64Array | Uint16Array>(from: Column, to: Column): Column => {
    chosen.forEach((d, i) => {
      to.set(from.subarray(binned.starts[d], binned.starts[d + 1]), starts[i]);
    });
    return to;
  };
  return {
    tokens,
    documents: chosen.length,
    starts,
    edges: binned.edges,
    bins: binned.bins.map((column) => gather(column, new Uint16Array(tokens))),
    losses: binned.losses.map((column) => gather(column, new Uint16Array(tokens))),
    ...(binned.deep && { deep: gather(binned.deep, new Uint16Array(tokens)) }),
    share: gather(binned.share, new Float64Array(tokens)),
  };
}

/** The index of the first of the decreasing edges that is <= score. The last edge is the lowest score of all. */
function firstAtMost(edges: readonly number[], score: number): number {
  let low = 0;
  let high = edges.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle]! <= score) high = middle;
    else low = middle + 1;
  }
  return low;
}
