/**
 * Weight panels: how the WebAssembly CPU device stores a matrix W [N, K] (src/tensor/wasm, panels), how one row
 * y = x·Wᵀ walks a panel (tiles), and how one row reads two panels, half of W apart (products). The three columns of W
 * in colour are the first three runs of sixteen weights in memory.
 */
import {
  type Area,
  arrow,
  bottomOf,
  box,
  cells,
  type Color,
  columnsOf,
  divider,
  drawing,
  heading,
  label,
  leftOf,
  MARGIN,
  type Point,
  rightOf,
  TOP,
  topOf,
  WIDTH,
} from "./shapes.js";

const LANES = 16;
const COLORS: readonly Color[] = ["blue", "green", "purple"]; // of the first inner indices k
const MIDDLE = 392;
const BELOW = TOP + 268;

export function weightPanels(): string {
  return drawing({
    title: "Weight panels: the CPU device stores W [N, K] in the order in which products read it",
    description:
      "Top: a matrix W of N rows and K columns is cut into panels of 16 rows. In memory a panel holds, for each " +
      "inner index k, the 16 weights of its rows side by side. Bottom left: for one row x, each step multiplies the " +
      "16 weights of one k by x[k] and adds them to 16 sums in four vector registers; a lane owns one column of y. " +
      "Bottom right: the product of one row with a large W reads two panels that lie half of W apart, 32 inner " +
      "indices of each in turn.",
    height: BELOW + 284,
    parts: [layout(), walk(), twoPlaces()],
  });
}

/** Number of coloured columns, their width, and how far they stand apart in memory. */
const MATRIX = { x: MARGIN, y: TOP + 48, columns: 12, column: 13, row: 6 };
const RUN = { x: 300, width: 136, height: 18, gap: 6 };

function layout(): string {
  const { x, y, columns, column, row } = MATRIX;
  const width = columns * column;
  const first = { x, y, width, height: LANES * row };
  const second = { x, y: y + 102, width, height: 30 };
  const last = { x, y: y + 158, width, height: 18 };
  const padding = { ...last, y: last.y + last.height, height: 12 };
  const right = WIDTH - MARGIN;
  const runs = (top: number): Area[] =>
    COLORS.map((_, k) => ({ x: RUN.x + k * (RUN.width + RUN.gap), y: top, width: RUN.width, height: RUN.height }));
  const tape = (top: number, color: (k: number) => Color): string[] => [
    ...runs(top).map((run, k) => cells(run, { columns: LANES, color: color(k) })),
    label({ x: right, y: top + 13 }, "…", { anchor: "end" }),
  ];
  const at = [first.y + 20, second.y + 6, last.y + 6];
  const name = (area: Area, text: string, rows: string, top: number): string =>
    [
      label({ x: area.x + width + 8, y: top + 9 }, text, { bold: true }),
      label({ x: area.x + width + 8, y: top + 23 }, rows, { secondary: true }),
      arrow({ x: area.x + width + 92, y: top + 9 }, { x: RUN.x - 6, y: top + 9 }),
    ].join("\n");
  return [
    heading({ x, y: TOP + 12 }, "1. The layout: 16 rows of W, that is 16 columns of y, form a panel"),
    label({ x, y: y - 8 }, "W: k = 0 … K - 1 →", { secondary: true }),
    cells(first, { columns, rows: LANES, color: "gray", opacity: 0.06 }),
    ...COLORS.map((color, k) =>
      cells({ ...first, x: x + k * column, width: column }, { columns: 1, rows: LANES, color, opacity: 0.35 }),
    ),
    cells(second, { columns, color: "gray", opacity: 0.14 }),
    label({ x: x + width / 2, y: second.y + 46 }, "…", { anchor: "middle" }),
    cells(last, { columns, color: "gray", opacity: 0.14 }),
    cells(padding, { columns, color: "gray", opacity: 0, dashed: true }),
    name(first, "panel 0", "rows 0–15", at[0]!),
    name(second, "panel 1", "rows 16–31", at[1]!),
    name(last, "last panel", "zero-padded", at[2]!),
    label({ x: RUN.x, y: y - 8 }, "memory: addresses ascend →", { secondary: true }),
    ...tape(at[0]!, (k) => COLORS[k]!),
    ...tape(at[1]!, () => "gray"),
    ...tape(at[2]!, () => "gray"),
    ...runs(at[0]!).map((run, k) =>
      label({ x: run.x + run.width / 2, y: run.y - 5 }, `k = ${k}: 16 weights`, { anchor: "middle" }),
    ),
    label(
      { x: RUN.x, y: at[0]! + 36 },
      "float32: [K][16], 64 bytes for each k. bfloat16: [K][16], 32 bytes.\n" +
        "int8: [K/2][16][2], 32 bytes for two k; one scale per row of W.",
      { secondary: true },
    ),
  ].join("\n");
}

function walk(): string {
  const top = BELOW + 44;
  const x = { x: 60, y: top, width: 12 * 13, height: 16 };
  const chosen = 2;
  const factor = { x: x.x + chosen * 13, y: x.y, width: 13, height: 16 };
  const row = (y: number): Area[] => columnsOf({ x: 60, y, width: 292, height: 18 }, 4, 10);
  const weights = row(top + 46);
  const operation = { x: 60, y: top + 84, width: 292, height: 22 };
  const sums = row(top + 128);
  const down = (from: Point, to: Point): string => arrow(from, to, { color: "purple" });
  const bus = 28;
  return [
    divider({ x: MARGIN, y: BELOW - 12 }, { x: WIDTH - MARGIN, y: BELOW - 12 }),
    heading({ x: MARGIN, y: BELOW + 12 }, "2. One row: y = x·Wᵀ walks a panel"),
    label({ x: MARGIN, y: BELOW + 29 }, "One step for each k = 0, 1, 2, …; here k = 2, float32.", { secondary: true }),
    label({ x: MARGIN, y: x.y + 12 }, "x [K]"),
    cells(x, { columns: 12, color: "gray", opacity: 0.06 }),
    cells(factor, { columns: 1, color: "purple", opacity: 0.5 }),
    arrow(bottomOf(factor), leftOf(operation), {
      color: "purple",
      via: [
        { x: factor.x + 6.5, y: x.y + 28 },
        { x: bus, y: x.y + 28 },
        { x: bus, y: operation.y + 11 },
      ],
    }),
    ...weights.map((area) => cells(area, { columns: 4, color: "purple" })),
    label({ x: 352, y: weights[0]!.y - 6 }, "16 weights of this k", { anchor: "end", secondary: true }),
    ...weights.map((area) => down(bottomOf(area), { x: topOf(area).x, y: operation.y })),
    box(operation, { color: "purple", body: "times x[k] in every lane, plus the sums so far" }),
    ...sums.map((area) => down({ x: topOf(area).x, y: operation.y + operation.height }, topOf(area))),
    ...sums.map((area) => cells(area, { columns: 4, color: "teal" })),
    ...sums.map((area, i) =>
      label({ x: area.x + area.width / 2, y: area.y + 32 }, `register ${i}`, { anchor: "middle", secondary: true }),
    ),
    label({ x: MARGIN, y: sums[0]!.y + 13 }, "sums"),
    label(
      { x: MARGIN, y: sums[0]!.y + 54 },
      "A lane owns one column of y and adds over k in order, starting from bias and residual. More rows of x use the " +
        "same weights and more registers; the order stays, so one row and a thousand rows give the same bits.",
      { width: 340 },
    ),
  ].join("\n");
}

function twoPlaces(): string {
  const x = MIDDLE + 8;
  const width = WIDTH - MARGIN - x;
  const whole = { x, y: BELOW + 56, width, height: 18 };
  const half = width / 2;
  const near = { ...whole, x: x + 2 * (width / 16), width: width / 16 };
  const far = { ...near, x: near.x + half };
  const pieces = (y: number): Area[] => columnsOf({ x: x + 62, y, width: width - 62, height: 34 }, 3, 12);
  const one = pieces(BELOW + 112);
  const other = pieces(BELOW + 172);
  const piece = (area: Area, turn: number, color: Color): string =>
    box(area, { color, title: `${turn}`, body: `k ${32 * ((turn - 1) >> 1)}–${32 * ((turn - 1) >> 1) + 31}` });
  return [
    heading({ x, y: BELOW + 12 }, "3. One row, large W: two places at once"),
    label({ x, y: BELOW + 29 }, "W in memory, panel after panel:", { secondary: true }),
    cells({ ...whole, width: half }, { columns: 8, color: "blue", opacity: 0.1 }),
    cells({ ...whole, x: x + half, width: half }, { columns: 8, color: "orange", opacity: 0.1 }),
    cells(near, { columns: 1, color: "blue", opacity: 0.6 }),
    cells(far, { columns: 1, color: "orange", opacity: 0.6 }),
    label({ x: near.x + near.width / 2, y: whole.y - 6 }, "panel p", { anchor: "middle" }),
    label({ x: far.x + far.width / 2, y: whole.y - 6 }, "panel p + half", { anchor: "middle" }),
    label({ x, y: whole.y + 36 }, "The order in which one row reads the two panels:", { secondary: true }),
    label({ x, y: one[0]!.y + 20 }, "panel p"),
    label({ x, y: other[0]!.y + 14 }, "panel\np + half"),
    ...one.map((area, i) => piece(area, 2 * i + 1, "blue")),
    ...other.map((area, i) => piece(area, 2 * i + 2, "orange")),
    ...one.map((area, i) => arrow(bottomOf(area, -10), topOf(other[i]!, -10))),
    ...one
      .slice(1)
      .map((area, i) =>
        arrow({ x: rightOf(other[i]!).x - 8, y: other[i]!.y }, { x: area.x + 8, y: area.y + area.height }),
      ),
    label(
      { x, y: other[0]!.y + 54 },
      "Memory delivers more to one thread when it is read at two places than at one. float32: 32 k (2 kB) of each " +
        "panel in turn. bfloat16: both panels in every step. int8: one place. Within a panel k still ascends, so no " +
        "bit changes.",
      { width },
    ),
  ].join("\n");
}
