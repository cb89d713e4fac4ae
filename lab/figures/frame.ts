/**
 * The frame of every figure in docs/figures: a title, a legend, plots from Observable Plot side by side, and a line
 * that says what ran where and when. Colours are legible on light and on dark backgrounds; the background follows the
 * reader's theme and is opaque, so that a figure stays legible on a page that does not follow it.
 */
import type { PlotOptions } from "@observablehq/plot";
import type { Machine } from "../report/machine.js";
import { plotSvg } from "../report/plot.js";

/** Contrast of at least 3 on white and on #0d1117. */
export const colors = {
  blue: "#3b7dd8",
  orange: "#d9730d",
  green: "#2f9e5b",
  purple: "#9b5fd0",
  red: "#d6404f",
  teal: "#1a93a5",
  gray: "#7d8590",
} as const;

export interface Panel {
  /** Above the panel, if there are several. */
  readonly title?: string;
  readonly plot: Omit<PlotOptions, "document" | "width" | "style">;
}

interface FrameOptions {
  /** The figure's message, as a sentence. */
  readonly title: string;
  /** Side by side. */
  readonly panels: readonly Panel[];
  /** Relative widths of the panels. @default equal */
  readonly shares?: readonly number[];
  readonly legend?: readonly { readonly label: string; readonly color: string }[];
  /** Subject of the run: model, text, how much of it. */
  readonly run: string;
  /** Machine and date of the run. */
  readonly machine: Machine;
  /** The device that ran it. @default "device wasm, 1 thread" */
  readonly device?: string;
  readonly height?: number;
}

const WIDTH = 760;
const PAD = 16;

export function frame({
  title,
  panels,
  shares = panels.map(() => 1),
  legend = [],
  run,
  machine,
  device = "device wasm, 1 thread",
  height = 300,
}: FrameOptions): string {
  const headings = panels.some((panel) => panel.title !== undefined);
  const titles = wrap(title, 84);
  const notes = wrap(
    `${run}. ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${device}, ${machine.date.slice(0, 10)}.`,
    126,
  );
  const legendAt = PAD + 18 * titles.length + 14;
  let at = PAD;
  let row = 0;
  const keys = legend.map(({ label, color }) => {
    const width = 15 + 6.3 * label.length;
    if (at + width > WIDTH - PAD) {
      at = PAD;
      row++;
    }
    const y = legendAt + 18 * row;
    const key =
      `<rect x="${at}" y="${y - 9}" width="10" height="10" rx="2" fill="${color}"/><text class="ink" ` +
      `x="${at + 15}" y="${y}">${escape(label)}</text>`;
    at += width + 18;
    return key;
  });
  const headingAt = legendAt + (legend.length > 0 ? 22 + 18 * row : 0);
  const top = headingAt + (headings ? 10 : -8);
  const total = top + height + 10 + 15 * notes.length + 4;
  const unit = (WIDTH - PAD * (panels.length + 1)) / shares.reduce((sum, share) => sum + share, 0);
  let left = PAD;
  const drawn = panels.map((panel, i) => {
    const width = Math.round(shares[i]! * unit);
    const svg = plotSvg({ marginTop: 24, ...panel.plot, width, height }).replace(
      "<svg ",
      `<svg x="${left}" y="${top}" `,
    );
    const heading =
      panel.title === undefined
        ? ""
        : `<text class="ink" x="${left}" y="${headingAt}" font-weight="600">${escape(panel.title)}</text>`;
    left += width + PAD;
    return heading + svg;
  });
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${total}" viewBox="0 ` +
      `0 ${WIDTH} ${total}" font-family="system-ui, sans-serif" font-size="12" role="img" ` +
      `aria-label="${escape(title)}">`,
    "<style>.ground{fill:#fff;stroke:#d0d7de}.ink{fill:#1f2328}.note{fill:#59636e}.plot{color:#1f2328;" +
      "--plot-background:#fff}",
    "@media (prefers-color-scheme:dark){.ground{fill:#0d1117;stroke:#30363d}.ink{fill:#e6edf3}.note{fill:" +
      "#9198a1}.plot{color:#e6edf3;--plot-background:#0d1117}}</style>",
    `<rect class="ground" x=".5" y=".5" width="${WIDTH - 1}" height="${total - 1}" rx="6"/>`,
    ...titles.map(
      (line, i) =>
        `<text class="ink" x="${PAD}" y="${PAD + 10 + 18 * i}" font-size="14" font-weight="600">${escape(line)}</text>`,
    ),
    ...keys,
    ...drawn,
    ...notes.map(
      (line, i) =>
        `<text class="note" x="${PAD}" y="${total - 12 - 15 * (notes.length - 1 - i)}" ` +
        `font-size="11">${escape(line)}</text>`,
    ),
    "</svg>",
  ];
  return `${small(lines.join("\n"))}\n`;
}

/** Rounds to two decimals, which is fine enough for pixels; Plot's own classes and styles are replaced by one class. */
function small(svg: string): string {
  return svg
    .replace(/<style>:where[\s\S]*?<\/style>/g, "")
    .replace(/class="plot-[0-9a-f]+"/g, 'class="plot"')
    .replace(/(\d+\.\d\d)\d+/g, "$1");
}

function wrap(text: string, length: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > length) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
