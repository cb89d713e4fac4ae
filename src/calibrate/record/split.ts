/**
 * The documents that count, their order, and the cut between grid split and test:
 *   distinct     of documents that are kin (documents.ts) one remains, with the number of its copies
 *   order        ascending SHA-256 of "seed:hash of the document"; if groups are the units, first of "seed:group"
 *   grid split   the first units; candidates are proposed on them
 *   test         all others, in this order, which is also the order in which the betting bound (WSR) reads them
 * All of it is a function of the seed and the text alone, so a verifier can reproduce it.
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { sha256 } from "../../model/sha256.js";
import type { Counted } from "./documents.js";

/**
 * The unit taken as independent: documents, or groups of them (a source, a speaker, a user), each with its documents'
 * mean loss.
 */
export type Unit = "document" | "group";

export interface Arrangement {
  /** Indices of the distinct documents. */
  readonly order: readonly number[];
  /** Per entry of `order`, documents given that are this one. */
  readonly copies: readonly number[];
  /** The first so many entries are the grid split. */
  readonly grid: number;
  readonly unit: Unit;
}

interface ArrangeOptions {
  readonly seed: number;
  /** Share of the units in the grid split. */
  readonly gridShare: number;
  /** undefined: groups if documents have them. */
  readonly unit: Unit | undefined;
}

/** Throws an OptionError for fewer than two units, or if groups are asked for in vain. */
export async function arrange(
  documents: readonly Counted[],
  { seed, gridShare, unit: asked }: ArrangeOptions,
): Promise<Arrangement> {
  requireInteger("calibrate: seed", seed, 0);
  requireGroups(documents, asked);
  const unit = asked ?? (documents.some(({ group }) => group !== undefined) ? "group" : "document");
  const distinct = distinctDocuments(documents);
  const keyOf = (name: string): Promise<string> => sha256(`${seed}:${name}`);
  const keyed = await Promise.all(
    distinct.map(async ({ index, copies }) => {
      const { hash, group = hash } = documents[index]!;
      return { index, copies, group, key: (unit === "group" ? await keyOf(group) : "") + (await keyOf(hash)) };
    }),
  );
  keyed.sort((a, b) => compare(a.key, b.key));
  const starts = keyed.flatMap(({ group }, i) => (unit === "document" || group !== keyed[i - 1]?.group ? [i] : []));
  return {
    order: keyed.map(({ index }) => index),
    copies: keyed.map(({ copies }) => copies),
    grid: starts[gridSize(starts.length, gridShare, unit)]!,
    unit,
  };
}

/** Throws an OptionError if groups are asked for and no document has one. */
export function requireGroups(documents: readonly { readonly group?: string }[], unit: Unit | undefined): void {
  if (unit !== "group" || documents.some(({ group }) => group !== undefined)) return;
  throw new OptionError(
    "documents-ungrouped",
    'calibrate: unit "group" was asked for, but no document has a group; give documents as { text, group }, or ' +
      'choose unit "document"',
    { unit },
  );
}

interface Distinct {
  readonly index: number;
  readonly copies: number;
}

/** Of all kin, the smallest hash, then the smallest group. */
function distinctDocuments(documents: readonly Counted[]): Distinct[] {
  const chosen = new Map<string, Distinct>();
  documents.forEach(({ hash, kin = hash, group = "" }, index) => {
    const known = chosen.get(kin);
    if (known === undefined) {
      chosen.set(kin, { index, copies: 1 });
      return;
    }
    const other = documents[known.index]!;
    const better = hash < other.hash || (hash === other.hash && group < (other.group ?? ""));
    chosen.set(kin, { index: better ? index : known.index, copies: known.copies + 1 });
  });
  return [...chosen.values()];
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Units in the grid split: a share of all, at least one, and at least one left for the test. Throws an OptionError for
 * fewer than two.
 */
export function gridSize(units: number, share: number, unit: Unit = "document"): number {
  requireNumber("calibrate: gridShare", share, 0, 1, { open: true });
  if (units < 2) {
    throw new OptionError(
      "documents-few",
      `calibrate: ${units} distinct ${unit}(s) with text; a certificate needs at least two, and usually a hundred or ` +
        "more: some to propose candidates, the others to test them",
      { units, unit },
    );
  }
  return Math.min(units - 1, Math.max(1, Math.round(share * units)));
}
