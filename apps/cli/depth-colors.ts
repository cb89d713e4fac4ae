/** Depths on a terminal: a colour per exit, plain for tokens that ran all blocks; histograms. */
import { percent } from "./format.js";
import { colorsOf, type Io } from "./io.js";

const PALETTE = ["green", "cyan", "yellow", "magenta", "blue", "red"] as const;

export interface DepthColors {
  /** Colours the text of a token that left after `depth` blocks. */
  readonly paint: (text: string, depth: number) => string;
  /** "depth 2, depth 4, depth 6 (all blocks)", each in its colour. */
  readonly legend: string;
}

export function depthColors(io: Pick<Io, "color">, depths: readonly number[], numLayers: number): DepthColors {
  const colors = colorsOf(io);
  const exits = depths.filter((depth) => depth < numLayers);
  const paint = (text: string, depth: number): string => {
    const exit = exits.indexOf(depth);
    return exit < 0 ? text : colors[PALETTE[exit % PALETTE.length]!](text);
  };
  return {
    paint,
    legend: `${exits.map((depth) => `${paint(`depth ${depth}`, depth)}, `).join("")}depth ${numLayers} (all blocks)`,
  };
}

const BAR = 30; // characters

export function depthHistogram(depthCounts: readonly number[], { paint }: DepthColors): string[] {
  const total = depthCounts.reduce((sum, tokens) => sum + tokens, 0);
  const occurring = [...depthCounts.entries()].filter(([, tokens]) => tokens > 0);
  return occurring.map(([depth, tokens]) => {
    const bar = "#".repeat(Math.max(1, Math.round((BAR * tokens) / total)));
    return `  depth ${String(depth).padStart(2)}  ${paint(bar, depth)} ${tokens} (${percent(tokens / total)})`;
  });
}
