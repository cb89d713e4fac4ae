/**
 * The architecture: layers from the bottom up, the rooms (folders) in each, and what stands beside them. A layer may
 * import from itself and from those below it; test/house/imports.test.ts enforces this.
 */
import { measureText } from "./measure-text.js";
import {
  type Area,
  arrow,
  bottomOf,
  box,
  type Color,
  columnsOf,
  drawing,
  label,
  leftOf,
  MARGIN,
  TOP,
  WIDTH,
} from "./shapes.js";

/** A folder (or file) of src, or one beside it. */
interface Part {
  readonly name: string;
  readonly purpose: string;
  readonly rooms?: readonly string[];
}

interface Layer extends Part {
  readonly color: Color;
}

/** Folders or files of src, bottom to top, in the order of imports. */
export const LAYERS: readonly Layer[] = [
  { name: "errors", purpose: "every error class, each error with a stable code; imports nothing", color: "gray" },
  {
    name: "tensor",
    purpose: "arrays, autograd and devices; knows nothing of language models",
    rooms: ["ops", "reference", "wasm", "gpu", "formats", "optim"],
    color: "teal",
  },
  {
    name: "model",
    purpose: "the transformer, its KV cache and plain decoding",
    rooms: ["families", "tokenizer", "files", "gguf", "hub", "chat", "decode", "pretrain"],
    color: "blue",
  },
  {
    name: "exits",
    purpose: "exit heads: kinds, training, decoding with exits, cost",
    rooms: ["heads", "fill", "cost", "plan", "decode", "audit", "draft", "train"],
    color: "green",
  },
  {
    name: "calibrate",
    purpose: "from held-out text to thresholds and certificates",
    rooms: ["bounds", "procedures", "record", "certificate", "certify", "paper", "drafting"],
    color: "orange",
  },
  { name: "evaluate", purpose: "tasks, scored with exits off and with each policy", color: "purple" },
  { name: "serve", purpose: "continuous batching: texts join and leave between tokens", color: "blue" },
  { name: "index", purpose: "the public names, in reading order", color: "gray" },
];

/** On top, side by side. */
export const ENTRIES: readonly Part[] = [
  { name: "node", purpose: "files, threads, host" },
  { name: "browser", purpose: "files, workers, host" },
  { name: "cli", purpose: "one file per command", rooms: ["commands"] },
];

/** Beside the stack: they may import every layer, and no layer imports them. */
const BESIDE: readonly Part[] = [
  { name: "lab", purpose: "benchmarks, studies, simulators, drawings, and scripts that make what ships" },
  { name: "bench", purpose: "entry points of the benchmarks, and their committed reports" },
];

const STACK = { x: MARGIN + 26, width: 548 };
const GAP = 10;
const ENTRY = 58;

export function architecture(): string {
  const layers = LAYERS.toReversed();
  const heights = [ENTRY, ...layers.map(({ rooms }) => (rooms === undefined ? 34 : 34 + 26 * chipRows(rooms)))];
  const bands = heights.map((height, i): Area => {
    const above = heights.slice(0, i);
    return { ...STACK, y: TOP + above.reduce((sum, one) => sum + one + GAP, 0), height };
  });
  const foot = bottomOf(bands.at(-1)!).y;
  const names = [...LAYERS.map(({ name }) => name), ENTRIES.map(({ name }) => name).join(", ")];
  return drawing({
    title: "The architecture: each layer imports only from the layers below it",
    description:
      `Layers from the bottom up: ${names.join("; ")}. Rooms: ` +
      LAYERS.flatMap(({ name, rooms }) => (rooms === undefined ? [] : [`${name}: ${rooms.join(", ")}`])).join("; ") +
      `. Beside them stand ${BESIDE.map(({ name }) => name).join(" and ")}, which may import every layer.`,
    height: foot + 22,
    parts: [
      entries(bands[0]!),
      ...layers.map((layer, i) => band(bands[i + 1]!, layer)),
      direction(foot),
      besideStack(bands),
    ],
  });
}

function entries(area: Area): string {
  const areas = columnsOf(area, ENTRIES.length, GAP);
  return ENTRIES.map((entry, i) => band(areas[i]!, { ...entry, color: "gray" }, "below")).join("\n");
}

interface Chip {
  readonly room: string;
  readonly row: number;
  /** From the left edge of the rows. */
  readonly x: number;
  readonly width: number;
}

/** Rooms side by side, in as many rows as they need. */
function placeChips(rooms: readonly string[]): Chip[] {
  let row = 0;
  let x = 0;
  return rooms.map((room) => {
    const width = measureText(room, { size: 11, bold: false }) + 18;
    if (x + width > STACK.width - 24) {
      row++;
      x = 0;
    }
    const chip = { room, row, x, width };
    x += width + 7;
    return chip;
  });
}

const chipRows = (rooms: readonly string[]): number => placeChips(rooms).at(-1)!.row + 1;

/** A layer: its name, its purpose, and its rooms as chips. `place` says where the purpose stands. */
function band(area: Area, { name, purpose, rooms = [], color }: Layer, place: "beside" | "below" = "beside"): string {
  const font = { size: 13, bold: true };
  const afterName = area.x + 24 + measureText(name, font);
  const beside = place === "beside";
  const origin = beside ? { x: area.x + 12, y: area.y + 30 } : { x: afterName, y: area.y + 7 };
  const chips = placeChips(rooms).map(({ room, row, x, width }) =>
    box({ x: origin.x + x, y: origin.y + 26 * row, width, height: 22 }, { color, body: room }),
  );
  return [
    box(area, { color, hollow: color === "gray" }),
    label({ x: area.x + 12, y: area.y + 21 }, name, font),
    label({ x: beside ? afterName : area.x + 12, y: area.y + (beside ? 21 : 46) }, purpose, { secondary: true }),
    ...chips,
  ].join("\n");
}

/** The direction of imports, at the left edge. */
function direction(foot: number): string {
  const x = MARGIN + 12;
  const text = label({ x: 0, y: 0 }, "imports", { secondary: true });
  return [
    arrow({ x, y: TOP }, { x, y: foot }),
    `<g transform="translate(${x - 6} ${(TOP + foot) / 2 + 20}) rotate(-90)">${text}</g>`,
  ].join("\n");
}

/** The boxes beside the stack, joined to every layer. */
function besideStack(bands: readonly Area[]): string {
  const left = STACK.x + STACK.width;
  const spine = left + 20;
  const x = left + 36;
  const top = bands[0]!.y;
  const foot = bottomOf(bands.at(-1)!).y;
  const height = (foot - top - GAP * (BESIDE.length - 1)) / BESIDE.length;
  const boxes = BESIDE.map((_, i): Area => ({ x, y: top + i * (height + GAP), width: WIDTH - MARGIN - x, height }));
  const middles = bands.map((area) => ({ x: spine, y: leftOf(area).y }));
  return [
    ...boxes.map((area, i) =>
      box(area, { title: BESIDE[i]!.name, body: BESIDE[i]!.purpose, dashed: true, hollow: true }),
    ),
    ...boxes.map((area) => arrow(leftOf(area), { x: spine, y: leftOf(area).y }, { plain: true })),
    arrow(middles[0]!, middles.at(-1)!, { plain: true }),
    ...middles.map((from) => arrow(from, { x: left, y: from.y })),
  ].join("\n");
}
