/** The maps of exit heads: one table. A new one is one more entry, and everything else follows from it. */
import type { HeadMapDefinition } from "./head-map-definition.js";
import { linear } from "./linear.js";
import { lowRank } from "./low-rank.js";
import { mlp } from "./mlp.js";
import { none } from "./none.js";
import { translator } from "./translator.js";

const table = { none, linear, translator, lowRank, mlp } satisfies Readonly<Record<string, HeadMapDefinition>>;

/** The names of all maps. */
export const headMaps = Object.keys(table) as readonly (keyof typeof table)[];

/** How the state at an exit becomes the vector that the head's vocabulary reads. */
export type HeadMap = (typeof headMaps)[number];

/** The definitions of all maps by name. */
export const maps: Readonly<Record<HeadMap, HeadMapDefinition>> = table;

/** Whether a map of that name exists. */
export function isHeadMap(name: unknown): name is HeadMap {
  return typeof name === "string" && Object.hasOwn(maps, name);
}

export type { HeadMapDefinition, MapShape, StateFit } from "./head-map-definition.js";
