/**
 * The shapes of every drawing, as SVG strings: boxes with wrapped text, arrows between boxes, rows of cells, labels,
 * and the frame around them. One palette; fills are tints of it over a ground that follows the reader's theme, as in
 * the figures, so that a drawing is legible on light and on dark pages. Text that does not fit is an error, not an
 * overflow. No dates, no random ids: the same call gives the same bytes.
 */
import { type Font, measureText, wrapText } from "./measure-text.js";

/** The colours of drawings and figures: contrast of at least 3 on white and on #0d1117. */
export const palette = {
  blue: "#3b7dd8",
  orange: "#d9730d",
  green: "#2f9e5b",
  purple: "#9b5fd0",
  red: "#d6404f",
  teal: "#1a93a5",
  gray: "#7d8590",
} as const;

export type Color = keyof typeof palette;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Area extends Point {
  readonly width: number;
  readonly height: number;
}

/** Middle of an edge: where arrows begin and end. `shift` moves the point along the edge. */
export const leftOf = ({ x, y, height }: Area, shift = 0): Point => ({ x, y: y + height / 2 + shift });
export const rightOf = ({ x, y, width, height }: Area, shift = 0): Point => ({
  x: x + width,
  y: y + height / 2 + shift,
});
export const topOf = ({ x, y, width }: Area, shift = 0): Point => ({ x: x + width / 2 + shift, y });
export const bottomOf = ({ x, y, width, height }: Area, shift = 0): Point => ({
  x: x + width / 2 + shift,
  y: y + height,
});

/** `count` areas of equal width side by side. */
export function columnsOf({ x, y, width, height }: Area, count: number, gap: number): Area[] {
  const each = (width - gap * (count - 1)) / count;
  return Array.from({ length: count }, (_, i) => ({ x: x + i * (each + gap), y, width: each, height }));
}

export interface TextOptions {
  /** @default 11 */
  readonly size?: number;
  readonly bold?: boolean;
  /** @default "start" */
  readonly anchor?: "start" | "middle" | "end";
  /** Secondary text is grayer. */
  readonly secondary?: boolean;
  /** Wraps to this many pixels. @default one line */
  readonly width?: number;
  /** Baseline to baseline. @default 1.3 times the size */
  readonly leading?: number;
}

/** Text whose first baseline is at y. Throws if a line leaves the drawing. */
export function label({ x, y }: Point, text: string, options: TextOptions = {}): string {
  const { size = 11, bold = false, anchor = "start", secondary = false, width, leading = 1.3 * size } = options;
  const font = { size, bold };
  const lines = width === undefined ? text.split("\n") : wrapText(text, width, font);
  return lines
    .map((line, i) => {
      const left = x - measureText(line, font) * { start: 0, middle: 0.5, end: 1 }[anchor];
      if (left < 0 || left + measureText(line, font) > WIDTH) throw new Error(`drawing: "${line}" leaves the drawing`);
      const attributes =
        (size === 11 ? "" : ` font-size="${size}"`) +
        (bold ? ' font-weight="600"' : "") +
        (anchor === "start" ? "" : ` text-anchor="${anchor}"`);
      return (
        `<text class="${secondary ? "note" : "ink"}" x="${round(x)}" y="${round(y + i * leading)}"${attributes}>` +
        `${escape(line)}</text>`
      );
    })
    .join("\n");
}

export interface BoxOptions {
  /** @default "gray" */
  readonly color?: Color;
  /** Something absent, skipped or optional. */
  readonly dashed?: boolean;
  /** Without a tint. */
  readonly hollow?: boolean;
  /** First lines, bold. */
  readonly title?: string;
  /** Lines under the title. */
  readonly body?: string;
  /** @default "middle" */
  readonly align?: "start" | "middle";
  /** @default the middle of the box */
  readonly from?: "top" | "middle";
}

const INSET = 7;
const TITLE: Font = { size: 11.5, bold: true };
const BODY: Font = { size: 11, bold: false };
const LEADING = 14;

/** A rounded box with a title and a body, wrapped and centred. Throws if they do not fit. */
export function box(area: Area, options: BoxOptions = {}): string {
  const { color = "gray", dashed = false, hollow = false, title, body, align = "middle", from = "middle" } = options;
  const { x, y, width, height } = area;
  const inside = width - 2 * INSET;
  const titles = title === undefined ? [] : wrapText(title, inside, TITLE);
  const bodies = body === undefined ? [] : wrapText(body, inside, BODY);
  const needed = LEADING * (titles.length + bodies.length) + 4;
  if (needed > height) throw new Error(`drawing: "${title ?? body ?? ""}" needs ${needed} px of height, has ${height}`);
  const first = (from === "top" ? y + 4 : y + (height - needed) / 2 + 2) + 10.5;
  const at = (line: number): Point => ({
    x: align === "middle" ? x + width / 2 : x + INSET,
    y: first + LEADING * line,
  });
  return [
    `<rect${rectangle(area)} rx="5"${paint(color, hollow ? 0 : 0.14)}${dashes(dashed)}/>`,
    ...titles.map((line, i) => label(at(i), line, { ...TITLE, anchor: align })),
    ...bodies.map((line, i) => label(at(titles.length + i), line, { ...BODY, anchor: align })),
  ].join("\n");
}

export interface CellsOptions {
  readonly columns: number;
  readonly rows?: number;
  readonly color: Color;
  /** @default 0.3 */
  readonly opacity?: number;
  readonly dashed?: boolean;
}

/** A grid of square-cornered cells that fills the area: one path, however many cells. */
export function cells(area: Area, { columns, rows = 1, color, opacity = 0.3, dashed = false }: CellsOptions): string {
  const { x, y, width, height } = area;
  const vertical = Array.from(
    { length: columns - 1 },
    (_, i) => `M${round(x + ((i + 1) * width) / columns)} ${round(y)}v${round(height)}`,
  );
  const horizontal = Array.from(
    { length: rows - 1 },
    (_, i) => `M${round(x)} ${round(y + ((i + 1) * height) / rows)}h${round(width)}`,
  );
  const outline = `M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}z`;
  return `<path d="${[outline, ...vertical, ...horizontal].join("")}"${paint(color, opacity)}${dashes(dashed)}/>`;
}

export interface ArrowOptions {
  /** @default "gray" */
  readonly color?: Color;
  readonly dashed?: boolean;
  /** A head at the beginning, too. */
  readonly both?: boolean;
  /** Without any head. */
  readonly plain?: boolean;
  /** Corners between the ends. */
  readonly via?: readonly Point[];
}

const HEAD = 7;

/** A line from one point to another whose head ends exactly there. */
export function arrow(from: Point, to: Point, options: ArrowOptions = {}): string {
  const { color = "gray", dashed = false, both = false, plain = false, via = [] } = options;
  const points = [from, ...via, to];
  const ends = plain ? [] : both ? [from, to] : [to];
  const line = points.map((point, i) => {
    if (!ends.includes(point) || (i > 0 && i < points.length - 1)) return point;
    return towards(point, i === 0 ? points[1]! : points[i - 1]!, HEAD - 1); // the head covers the last pixels
  });
  const path = line.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
  const heads = ends.map((end) => headAt(end, end === to ? points.at(-2)! : points[1]!, color));
  return [
    `<path d="${path}" fill="none" stroke="${palette[color]}" stroke-width="${plain ? 1 : 1.6}"${dashes(dashed)}/>`,
    ...heads,
  ].join("\n");
}

/** An arrow that goes up or down to height y, sideways, and up or down again. */
export function elbow(from: Point, to: Point, y: number, color: Color): string {
  return arrow(from, to, {
    color,
    via: [
      { x: from.x, y },
      { x: to.x, y },
    ],
  });
}

function headAt(tip: Point, before: Point, color: Color): string {
  const base = towards(tip, before, HEAD);
  const dx = (base.y - tip.y) / 2;
  const dy = (tip.x - base.x) / 2;
  const corner = (sign: number): string => `${round(base.x + sign * dx)} ${round(base.y + sign * dy)}`;
  return `<path fill="${palette[color]}" d="M${round(tip.x)} ${round(tip.y)}L${corner(1)}L${corner(-1)}z"/>`;
}

/** The point `distance` pixels from `from` on the way to `to`. */
function towards(from: Point, to: Point, distance: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  return { x: from.x + ((to.x - from.x) * distance) / length, y: from.y + ((to.y - from.y) * distance) / length };
}

/** A tick or a cross, about ten pixels wide, in the middle of the point. */
export function mark({ x, y }: Point, kind: "tick" | "cross"): string {
  const path =
    kind === "tick" ? `M${round(x - 4.5)} ${round(y)}l3.5 4l6 -8.5` : `M${round(x - 4)} ${round(y - 4)}l8 8m0 -8l-8 8`;
  return `<path d="${path}" fill="none" stroke="${palette[kind === "tick" ? "green" : "red"]}" stroke-width="2.2"/>`;
}

/** A short swatch with its meaning, as wide as `keyWidth` says. */
export function key(at: Point, text: string, options: Pick<CellsOptions, "color" | "opacity" | "dashed">): string {
  const swatch = { x: at.x, y: at.y - 9, width: 11, height: 11 };
  return [cells(swatch, { columns: 1, ...options }), label({ x: at.x + 17, y: at.y }, text)].join("\n");
}

/** Keys side by side from a point on. */
export function keys(
  { x, y }: Point,
  entries: readonly (Pick<CellsOptions, "color" | "opacity" | "dashed"> & { readonly text: string })[],
): string {
  let at = x;
  return entries
    .map(({ text, ...options }) => {
      const drawn = key({ x: at, y }, text, options);
      at += 17 + measureText(text, BODY) + 12;
      return drawn;
    })
    .join("\n");
}

/** A numbered heading of a part. */
export function heading({ x, y }: Point, text: string, width?: number): string {
  return label({ x, y }, text, { size: 12.5, bold: true, ...(width !== undefined && { width }) });
}

/** A line of dashes that parts regions. */
export function divider(from: Point, to: Point): string {
  return arrow(from, to, { plain: true, dashed: true });
}

export interface DrawingOptions {
  /** What the drawing shows, as a sentence. */
  readonly title: string;
  /** The same for readers who cannot see it, in a few sentences. */
  readonly description: string;
  readonly height: number;
  readonly parts: readonly string[];
}

/** Width of every drawing, and the margin that its parts keep. */
export const WIDTH = 760;
export const MARGIN = 16;
/** Below the title. */
export const TOP = 48;

/** The whole file. */
export function drawing({ title, description, height, parts }: DrawingOptions): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ` +
      'font-family="system-ui, sans-serif" font-size="11" role="img" aria-labelledby="title description">',
    `<title id="title">${escape(title)}</title>`,
    `<desc id="description">${escape(description)}</desc>`,
    "<style>.ground{fill:#fff;stroke:#d0d7de}.ink{fill:#1f2328}.note{fill:#59636e}",
    "@media (prefers-color-scheme:dark){.ground{fill:#0d1117;stroke:#30363d}.ink{fill:#e6edf3}.note{fill:#9198a1}}" +
      "</style>",
    `<rect class="ground" x=".5" y=".5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>`,
    label({ x: MARGIN, y: 26 }, title, { size: 14, bold: true }),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function rectangle({ x, y, width, height }: Area): string {
  return ` x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"`;
}

/** Outline and tint. */
function paint(color: Color, opacity: number): string {
  const fill = opacity === 0 ? "none" : `${palette[color]}" fill-opacity="${opacity}`;
  return ` fill="${fill}" stroke="${palette[color]}"`;
}

const dashes = (dashed: boolean): string => (dashed ? ' stroke-dasharray="4 3"' : "");

/** Two decimals are enough of a pixel. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
