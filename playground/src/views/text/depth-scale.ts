/**
 * Colours of depths: one scale from blue (shallow, most blocks saved) to yellow (deep). People with any kind of colour
 * blindness can tell the colours apart, and their lightness changes in one direction. style.css sets both ends for each
 * theme. Tokens that ran every block have no colour.
 */

export interface DepthScale {
  readonly numLayers: number;
  /** Ascending; those below numLayers have a colour. */
  readonly depths: readonly number[];
}

/** A CSS colour for a depth. */
export function depthColor({ numLayers, depths }: DepthScale, depth: number): string {
  if (depth >= numLayers) return "var(--full)";
  const exits = depths.filter((other) => other < numLayers);
  const first = exits[0] ?? depth;
  const last = exits.at(-1) ?? depth;
  const share = last === first ? 1 : Math.min(1, (last - depth) / (last - first));
  return `color-mix(in oklab, var(--shallow) ${Math.round(100 * share)}%, var(--deep))`;
}

export function depthName({ numLayers }: Pick<DepthScale, "numLayers">, depth: number): string {
  return depth >= numLayers ? `all ${numLayers} blocks` : `${depth} of ${numLayers} blocks`;
}
