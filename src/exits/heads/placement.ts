/**
 * The placement of exits. A depth is the number of blocks run, 1..L. The papers give the index of the block whose
 * output the head reads, which is depth - 1.
 *   v1 (arXiv 2407.21082v1, released code): index interval · i, interval = floor(L / (K + 1)), i = 1..K
 *   v2 (released code): inner points of linspace(0, L, K + 2), truncated to integers
 */
import { OptionError, requireInteger } from "../../errors.js";

export type Placement = "v1" | "v2";

/** Without repetitions. */
export function ascending(depths: readonly number[]): number[] {
  return [...new Set(depths)].sort((a, b) => a - b);
}

/** Ascending depths. Throws an OptionError if K exits do not fit. */
export function placeExits(numLayers: number, exits: number, placement: Placement = "v2"): number[] {
  requireInteger("placeExits: exits", exits, 1, numLayers - 1);
  const indices = Array.from({ length: exits }, (_, i) =>
    placement === "v1"
      ? Math.floor(numLayers / (exits + 1)) * (i + 1)
      : Math.trunc((numLayers * (i + 1)) / (exits + 1)),
  );
  return checkDepths(
    numLayers,
    indices.map((index) => index + 1),
  );
}

/**
 * Throws an OptionError unless depths are ascending integers in [1, L]; at L a head can be a copy of the model's own.
 */
export function checkDepths(numLayers: number, depths: readonly number[]): number[] {
  const legal =
    depths.length > 0 &&
    depths.every(
      (depth, i) => Number.isInteger(depth) && depth >= 1 && depth <= numLayers && (i === 0 || depth > depths[i - 1]!),
    );
  if (!legal) {
    throw new OptionError(
      "exit-depths",
      `exits: depths (blocks run before the exit) must be ascending integers in [1, ${numLayers}], ` +
        `found [${depths.join(", ")}]`,
      { depths, numLayers },
    );
  }
  return [...depths];
}
