/**
 * The decoder with exits: one step of a model with six blocks and exit heads after blocks 2 and 4. Bottom to top: the
 * newest token, the embedding, the blocks, the final norm and unembedding. Left: what the heads decide. Right: the KV
 * cache, one row a block, one column a position. It shows the fill `lazy`; the strip below names the others.
 */
import {
  type Area,
  arrow,
  bottomOf,
  box,
  cells,
  columnsOf,
  divider,
  drawing,
  heading,
  keys,
  label,
  leftOf,
  MARGIN,
  rightOf,
  TOP,
  topOf,
  WIDTH,
} from "./shapes.js";

const BLOCKS = 6;
const LEFT_AT = 4; // depth at which the newest token leaves
/** Positions in the cache, and how many blocks each had run before this step. */
const POSITIONS = [
  { token: "The", before: BLOCKS },
  { token: "people", before: BLOCKS },
  { token: "of", before: BLOCKS },
  { token: "the", before: 2 },
  { token: "United", before: 0 },
] as const;

const STACK = { x: 294, width: 176, height: 26 };
const PITCH = 42;
const CACHE = { x: 514, column: 46 };
/** Levels of the stack, bottom to top: 0 token, 1 embedding, 2 … 7 blocks, 8 norm and unembedding, 9 next token. */
const LEVELS = BLOCKS + 4;
const levelAt = (level: number): Area => ({ ...STACK, y: TOP + 4 + (LEVELS - 1 - level) * PITCH });
const blockAt = (block: number): Area => levelAt(block + 1);

export function decoder(): string {
  const foot = levelAt(0).y + STACK.height + 34;
  return drawing({
    title: "A decoder with exits: a token leaves as soon as an exit head is confident enough",
    description:
      "One decoding step, from bottom to top. The newest token is embedded and runs through blocks 1 to 6. After " +
      "block 2 an exit head turns the state into logits; its score is below the threshold, so the token goes on. " +
      "After block 4 another head's score reaches its threshold: its token is emitted, and blocks 5 and 6, the final " +
      "norm and the unembedding are skipped. The KV cache beside the blocks therefore lacks the entries of blocks 5 " +
      "and 6 for this position. A strip lists the five ways to fill them: lazy, shared, propagate, project, recompute.",
    height: foot + 132,
    parts: [stack(), exits(), cache(), fillsFrom(foot)],
  });
}

function stack(): string {
  const skipped = (level: number): boolean => level > LEFT_AT + 1;
  const names = [
    "token: United",
    "embedding",
    ...Array.from({ length: BLOCKS }, (_, i) => `block ${i + 1}${i + 1 === BLOCKS ? " = L" : ""}`),
    "norm, unembedding",
    "next token",
  ];
  const boxes = names.map((title, level) =>
    box(levelAt(level), {
      title,
      color: level === 0 ? "blue" : skipped(level) ? "gray" : "blue",
      dashed: skipped(level),
      hollow: skipped(level),
    }),
  );
  const arrows = names.slice(1).map((_, level) =>
    arrow(topOf(levelAt(level)), bottomOf(levelAt(level + 1)), {
      color: skipped(level + 1) ? "gray" : "blue",
      dashed: skipped(level + 1),
    }),
  );
  const beside = (level: number, text: string): string =>
    label({ x: STACK.x + STACK.width / 2 + 8, y: levelAt(level).y + STACK.height + 12 }, text, { secondary: true });
  return [...boxes, ...arrows, beside(2, "state [C]"), beside(LEVELS - 1, "logits [V]")].join("\n");
}

function exits(): string {
  const head = (depth: number): Area => ({
    x: 116,
    y: blockAt(depth).y - (PITCH - STACK.height) / 2 - 26,
    width: 156,
    height: 52,
  });
  const refused = head(2);
  const fired = head(LEFT_AT);
  const out = { x: MARGIN, y: fired.y, width: 78, height: 52 };
  const branch = (depth: number): { x: number; y: number } => ({
    x: STACK.x + STACK.width / 2,
    y: head(depth).y + head(depth).height / 2,
  });
  return [
    arrow(branch(2), rightOf(refused), { color: "orange" }),
    box(refused, { color: "orange", title: "exit head, depth 2", body: "score 0.41\nthreshold 0.90: go on" }),
    arrow(branch(LEFT_AT), rightOf(fired), { color: "green" }),
    box(fired, { color: "green", title: "exit head, depth 4", body: "score 0.93\nthreshold 0.85: leave" }),
    arrow(leftOf(fired), rightOf(out), { color: "green" }),
    box(out, { color: "green", title: "States", body: "next token" }),
    label({ x: MARGIN, y: fired.y + 68 }, "It leaves early\nand is the next\nstep’s input.", { secondary: true }),
    label(
      { x: MARGIN, y: levelAt(8).y + 6 },
      "Skipped in this step (dashed): the blocks above the exit, the final norm and the unembedding.",
      { secondary: true, width: 250 },
    ),
    label(
      { x: MARGIN, y: levelAt(1).y + 8 },
      "Each head has a norm and a map to logits [V]. The score (here the largest probability) comes from the logits.",
      { secondary: true, width: 250 },
    ),
  ].join("\n");
}

function cache(): string {
  const width = CACHE.column * POSITIONS.length;
  const row = (block: number): Area => ({ ...blockAt(block), x: CACHE.x, width });
  const grid = Array.from({ length: BLOCKS }, (_, i) => i + 1).flatMap((block) =>
    columnsOf(row(block), POSITIONS.length, 4).map((cell, s) => {
      if (block <= POSITIONS[s]!.before) return cells(cell, { columns: 1, color: "teal", opacity: 0.3 });
      if (block > LEFT_AT) return cells(cell, { columns: 1, color: "red", opacity: 0, dashed: true });
      return cells(cell, {
        columns: 1,
        color: s === POSITIONS.length - 1 ? "blue" : "orange",
        opacity: s === POSITIONS.length - 1 ? 0.3 : 0.4,
      });
    }),
  );
  const links = Array.from({ length: LEFT_AT }, (_, i) =>
    arrow(rightOf(blockAt(i + 1)), leftOf(row(i + 1)), { color: "teal", both: true }),
  );
  const names = columnsOf({ ...levelAt(1), x: CACHE.x, width }, POSITIONS.length, 4).map((cell, s) =>
    label({ x: cell.x + cell.width / 2, y: cell.y + 8 }, POSITIONS[s]!.token, {
      anchor: "middle",
      bold: s === POSITIONS.length - 1,
    }),
  );
  const top = levelAt(LEVELS - 1).y;
  const legend = [
    { color: "teal", text: "written in earlier steps" },
    { color: "blue", text: "written for the newest token" },
    { color: "orange", opacity: 0.4, text: "filled now: “the” had left at depth 2" },
    { color: "red", opacity: 0, dashed: true, text: "missing: skipped by both tokens" },
  ] as const;
  return [
    heading({ x: CACHE.x, y: top + 2 }, "KV cache: keys and values"),
    ...legend.map((entry, i) => keys({ x: CACHE.x, y: top + 20 + 16 * i }, [entry])),
    ...grid,
    ...links,
    ...names,
    label({ x: (CACHE.x + STACK.x + STACK.width) / 2, y: blockAt(1).y + 38 }, "read,", {
      anchor: "middle",
      secondary: true,
    }),
    label({ x: (CACHE.x + STACK.x + STACK.width) / 2, y: blockAt(1).y + 51 }, "write", {
      anchor: "middle",
      secondary: true,
    }),
    label({ x: CACHE.x, y: levelAt(1).y + 26 }, "one column per position,\none row per block", { secondary: true }),
  ].join("\n");
}

/** The five fills, from the left edge to the right. */
function fillsFrom(y: number): string {
  const fills = [
    {
      title: "lazy: exact",
      body: "Shown above. The next token that goes deeper runs the skipped blocks for both, in one batch.",
    },
    {
      title: "shared: exact",
      body: "The upper blocks of this backbone attend to one set of K, V, made below the exits.",
    },
    {
      title: "propagate: approximate",
      body: "Each skipped block computes its K, V from the exit state.",
    },
    {
      title: "project: approximate",
      body: "A learned map computes the K, V of all skipped blocks from the exit state.",
    },
    {
      title: "recompute: exact",
      body: "Nothing is kept: the whole prefix runs again for the next token.",
    },
  ];
  const areas = columnsOf({ x: MARGIN, y: y + 24, width: WIDTH - 2 * MARGIN, height: 92 }, fills.length, 8);
  return [
    divider({ x: MARGIN, y: y - 12 }, { x: WIDTH - MARGIN, y: y - 12 }),
    heading({ x: MARGIN, y: y + 12 }, "Who fills the missing entries before later tokens attend to them?"),
    ...fills.map((fill, i) =>
      box(areas[i]!, { ...fill, color: i === 0 ? "orange" : "gray", align: "start", from: "top" }),
    ),
  ].join("\n");
}
