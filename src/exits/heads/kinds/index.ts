/** The kinds of exit heads: one table. A new kind is one more entry, and everything else follows from it. */
import { dense } from "./dense.js";
import type { HeadKindDefinition } from "./head-kind-definition.js";
import { lowRank } from "./low-rank.js";
import { mlp } from "./mlp.js";
import { shortlist } from "./shortlist.js";
import { tied } from "./tied.js";

const table = { dense, tied, lowRank, mlp, shortlist } satisfies Readonly<Record<string, HeadKindDefinition>>;

/** The names of all kinds of heads. */
export const headKinds = Object.keys(table) as readonly (keyof typeof table)[];

/** The map from a state [C] to logits [V]: the paper's dense one, and cheaper ones. */
export type HeadKind = (typeof headKinds)[number];

/** The definitions of all kinds by name. */
export const definitions: Readonly<Record<HeadKind, HeadKindDefinition>> = table;

/** Whether a kind of that name exists. */
export function isHeadKind(name: unknown): name is HeadKind {
  return typeof name === "string" && Object.hasOwn(definitions, name);
}

export { trainableCopy } from "./copies.js";
export {
  type HeadKindDefinition,
  type HeadWeights,
  isKindShape,
  type KindShape,
  type OutputSpace,
} from "./head-kind-definition.js";
