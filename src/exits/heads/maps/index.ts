/** The maps of exit heads: one table. A new one is one more entry, and everything else follows from it. */
import type { ModelSizes } from "../vocabularies/index.js";
import { block } from "./block.js";
import type { HeadMapDefinition } from "./head-map-definition.js";
import { linear } from "./linear.js";
import { lowRank } from "./low-rank.js";
import { mlp } from "./mlp.js";
import { none } from "./none.js";
import { translator } from "./translator.js";

const table = { none, linear, translator, lowRank, mlp, block } satisfies Readonly<Record<string, HeadMapDefinition>>;

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

/** Whether heads with this map have a block of their own. */
export function hasBlock(map: HeadMap): boolean {
  return maps[map].own !== undefined;
}

/** Multiply-adds of the keys and values that a head with this map makes of every position; 0 without a block. */
export function sideKeysCost(sizes: ModelSizes, map: HeadMap): number {
  return maps[map].own?.keysCost(sizes) ?? 0;
}

export { HeadBlock } from "./head-block.js";
export type { HeadMapDefinition, MapShape, StateFit } from "./head-map-definition.js";
