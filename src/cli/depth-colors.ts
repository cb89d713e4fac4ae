/** One colour per exit, shallow to deep; tokens that ran all blocks stay plain. Depth histograms for terminals. */
import { percent } from "./format.js";
import { colorsOf, type Io } from "./io.js";

const PALETTE = ["green", "cyan", "yellow", "magenta", "blue", "red"] as const;

export interface DepthColors {
  /** Colours text that was chosen after `depth` blocks. */
  readonly paint: (text: string, depth: number) => string;
  /** "depth 2 depth 4 depth 6 (all blocks)", each in its colour. */
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

/** One line per depth that occurs. */
export function depthHistogram(depthCounts: readonly number[], { paint }: DepthColors): string[] {
  const total = depthCounts.reduce((sum, tokens) => sum + tokens, 0);
  return depthCounts.flatMap((tokens, depth) =>
    tokens === 0
      ? []
      : [
          `  depth ${String(depth).padStart(2)} ` +
            ` ${paint("#".repeat(Math.max(1, Math.round((BAR * tokens) / total))), depth)} ${tokens} ` +
            `(${percent(tokens / total)})`,
        ],
  );
}
