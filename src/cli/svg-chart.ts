/** Line charts with bands as SVG text: enough for a report, without a charting library. */

export interface Series {
  readonly label: string;
  readonly points: readonly Point[];
}

/** `low` and `high` bound a band around y. */
export interface Point {
  readonly x: number;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** A dashed line across, such as a target. */
  readonly target?: number | undefined;
}

/** Values to pixels. */
interface Scales {
  readonly x: (value: number) => string;
  readonly y: (value: number) => string;
  /** The lowest y shown. */
  readonly floor: number;
}

const SIZE = { width: 720, height: 420, left: 60, right: 150, top: 44, bottom: 48 } as const;
const COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2"] as const;
const TICKS = Array.from({ length: 6 }, (_, i) => i / 5);

/** x from 0 to 1; y from a round number below all points to 1. */
export function lineChart(series: readonly Series[], { title, xLabel, yLabel, target }: ChartOptions): string {
  const { width, height, left, top } = SIZE;
  const scales = scalesFor(series, target);
  const { x, y } = scales;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
      `viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<text x="${left}" y="22" font-size="14" font-weight="bold">${escape(title)}</text>`,
    ...tickMarks(scales),
    `<text x="${x(0.5)}" y="${height - 10}" text-anchor="middle">${escape(xLabel)}</text>` +
      `<text x="${left}" y="${top - 8}">${escape(yLabel)}</text>`,
    ...(target === undefined
      ? []
      : [`<line x1="${x(0)}" x2="${x(1)}" y1="${y(target)}" y2="${y(target)}" stroke="#333" stroke-dasharray="5 4"/>`]),
    ...series.flatMap((one, i) => seriesMarks(one, i, scales)),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

function scalesFor(series: readonly Series[], target = 1): Scales {
  const { width, height, left, right, top, bottom } = SIZE;
  const lowest = Math.min(1, target, ...series.flatMap(({ points }) => points.map(({ y, low = y }) => low)));
  const floor = Math.max(0, Math.floor(lowest * 10) / 10 - (lowest === 1 ? 0.1 : 0));
  return {
    x: (value) => (left + value * (width - left - right)).toFixed(1),
    y: (value) => (height - bottom - ((value - floor) / (1 - floor)) * (height - top - bottom)).toFixed(1),
    floor,
  };
}

function tickMarks({ x, y, floor }: Scales): string[] {
  const { height, left, bottom } = SIZE;
  return [
    ...TICKS.map(
      (share) => `<text x="${x(share)}" y="${height - bottom + 18}" text-anchor="middle">${share.toFixed(1)}</text>`,
    ),
    ...TICKS.map((share) => {
      const value = floor + share * (1 - floor);
      return (
        `<line x1="${x(0)}" x2="${x(1)}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>` +
        `<text x="${left - 8}" y="${y(value)}" dy="4" text-anchor="end">${value.toFixed(2)}</text>`
      );
    }),
  ];
}

/** The band if there is one, the line and its label. */
function seriesMarks({ label, points }: Series, index: number, { x, y }: Scales): string[] {
  const { width, right, top } = SIZE;
  const color = COLORS[index % COLORS.length]!;
  const path = (of: readonly Pick<Point, "x" | "y">[]): string =>
    of.map((point, i) => `${i === 0 ? "M" : "L"}${x(point.x)},${y(point.y)}`).join("");
  const banded = points.filter(({ low, high }) => low !== undefined && high !== undefined);
  const band = [
    ...banded.map((point) => ({ x: point.x, y: point.high! })),
    ...banded.toReversed().map((point) => ({ x: point.x, y: point.low! })),
  ];
  return [
    ...(band.length > 0 ? [`<path d="${path(band)}Z" fill="${color}" fill-opacity="0.15"/>`] : []),
    `<path d="${path(points)}" fill="none" stroke="${color}" stroke-width="2"/>`,
    `<text x="${width - right + 10}" y="${top + 16 + 18 * index}" fill="${color}">${escape(label)}</text>`,
  ];
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
