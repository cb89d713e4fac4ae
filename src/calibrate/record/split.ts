/**
 * The order of documents, and the cut between grid split and test. Copies (find-kin.ts) have two readings, and a claim
 * must hold in both (certify/fixed-sequence.ts):
 *   once       a copy is no new evidence: a class of copies is one unit, with the mean of its members' losses; where
 *              groups are units it belongs to its leader's group
 *   as given   copies are draws like all others, however many are alike: each is a unit, or part of its own group
 *   key        SHA-256 of "seed:name", the name of a unit: a document's hash (":n" for the n-th repetition of the very
 *              same tokens), its class's leader's, or a group's
 *   cut        units in ascending order of their keys: the first share of classes (or groups) ends here
 *   grid       documents before the cut in both readings; candidates are proposed on them
 *   test       classes beyond the cut, whole; as given, documents whose own keys are beyond it, so that a class of many
 *              has its share in the test whatever side its leader is on
 * Documents whose text taught the heads are left out of both (exits/heads/taught.ts).
 * The betting bound (WSR) reads units in the order of their keys: copies beside each other would be no random order of
 * draws. All of it is a function of the seed and the text alone, so a verifier can reproduce it. Without copies both
 * readings are the same.
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { sha256 } from "../../model/sha256.js";
import type { Counted } from "./documents.js";

/**
 * The unit taken as independent: documents, or groups of them (a source, a speaker, a user), each with its documents'
 * mean loss.
 */
export type Unit = "document" | "group";

/** A document's place in both readings of copies. */
export interface Place {
  /** The hash of its class's leader. */
  readonly leader: string;
  /** The key of its class's unit. */
  readonly unit: string;
  /** The key of its own unit, copies taken as documents like all others. */
  readonly key: string;
  /** True if the unit lies in the test. */
  readonly tested: boolean;
  /** True if its own unit does. */
  readonly testedAsGiven: boolean;
  /** Its index among the documents given. */
  readonly place: number;
}

export interface Arrangement<One> {
  /** All documents given, in the seeded order; copies follow each other. */
  readonly documents: readonly (One & Place)[];
  /** The first so many documents are the grid split. */
  readonly grid: number;
  readonly unit: Unit;
  /** Units in the test, copies counted once. */
  readonly units: number;
  /** True if some documents are copies of others. */
  readonly copied: boolean;
  /** Documents left out, because their text taught the heads. */
  readonly taught: number;
}

export interface ArrangeOptions {
  readonly seed: number;
  /** Share of the units in the grid split. */
  readonly gridShare: number;
  /** undefined: groups if documents have them. */
  readonly unit: Unit | undefined;
}

/**
 * Leaves out documents that taught the heads. Throws an OptionError if these are half of them or more (what the sample
 * misses would be among the others), for fewer than two units, or if groups are asked for in vain.
 */
export async function arrange<One extends Counted>(
  given: readonly One[],
  { seed, gridShare, unit: asked }: ArrangeOptions,
): Promise<Arrangement<One>> {
  const documents = given.map((document, place) => ({ ...document, place })).filter((one) => one.taught !== true);
  const taught = given.length - documents.length;
  if (taught > 0 && taught >= documents.length) {
    throw new OptionError(
      "documents-taught",
      `calibrate: the text of ${taught} of ${given.length} documents taught the heads, so their agreement there ` +
        "says nothing about new text, and too few remain; give documents that the heads have not seen",
      { taught, documents: given.length },
    );
  }
  requireInteger("calibrate: seed", seed, 0);
  requireGroups(documents, asked);
  const unit = asked ?? (documents.some(({ group }) => group !== undefined) ? "group" : "document");
  const keyOf = (name: string) => sha256(`${seed}:${name}`);
  const keyed = await Promise.all(
    copiesOf(documents).map(async ({ document, copy, leader: { hash: leader, group: ofLeader = leader } }) => {
      const { hash, group = hash } = document;
      const inClass = await keyOf(leader);
      const unitKey = unit === "group" ? await keyOf(ofLeader) : inClass;
      const key = await keyOf(unit === "group" ? group : copy === 0 ? hash : `${hash}:${copy}`);
      return { document, leader, unit: unitKey, key, order: unitKey + inClass };
    }),
  );
  const keys = [...new Set(keyed.map((one) => one.unit))].sort(compare);
  const first = gridSize(keys.length, gridShare, unit);
  const cut = keys[first]!;
  const placed = keyed
    .sort((a, b) => compare(a.order, b.order))
    .map(({ document, leader, unit: of, key }) => {
      return { ...document, leader, unit: of, key, tested: of >= cut, testedAsGiven: key >= cut };
    });
  const isGrid = ({ tested, testedAsGiven }: Place) => !tested && !testedAsGiven;
  const gridSplit = placed.filter(isGrid);
  return {
    documents: [...gridSplit, ...placed.filter((one) => !isGrid(one))],
    grid: gridSplit.length,
    unit,
    units: keys.length - first,
    copied: new Set(placed.map(({ leader }) => leader)).size < placed.length,
    taught,
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

/**
 * In ascending order of hash, then group; the first of its class is the leader. `copy` is the number of those before it
 * with the very same tokens.
 */
function copiesOf<One extends Counted>(documents: readonly One[]) {
  const leaders = new Map<string, One>();
  const seen = new Map<string, number>();
  return documents
    .map((document) => ({ document, name: `${document.hash} ${document.group ?? ""}` }))
    .sort((a, b) => compare(a.name, b.name))
    .map(({ document }) => {
      const { hash, kin = hash } = document;
      const leader = leaders.get(kin) ?? document;
      leaders.set(kin, leader);
      const copy = seen.get(hash) ?? 0;
      seen.set(hash, copy + 1);
      return { document, copy, leader };
    });
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Units in the grid split: a share of all, at least one, and at least one left for the test. Throws an OptionError for
 * fewer than two.
 */
function gridSize(units: number, share: number, unit: Unit): number {
  requireNumber("calibrate: gridShare", share, 1, { open: true });
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
