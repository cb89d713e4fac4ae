/**
 * One round of lossless decoding, greedy: twelve blocks in four stages of three, exits after blocks 3 and 6, four
 * drafts, of which the full model accepts three. Columns are positions, rows are stages; a cell's colour says when it
 * ran:
 *     draft     position t runs to the exit that fires; positions before it that are not as deep run along
 *     verify    every position of the round runs the stages it lacks, in one batch
 *     accept    the drafts before the first mismatch, then the full model's own token
 */
import {
  type Area,
  arrow,
  bottomOf,
  box,
  cells,
  divider,
  drawing,
  heading,
  keys,
  label,
  MARGIN,
  mark,
  rightOf,
  TOP,
  topOf,
  WIDTH,
} from "./shapes.js";

const STAGES = ["1–3", "4–6", "7–9", "10–12"] as const;
/** Positions of the round: the newest token and four drafts. `own` and `along`: stages run while drafting. */
const POSITIONS = [
  { token: "the", own: 1, along: 1, full: "people" },
  { token: "people", own: 2, along: 0, full: "of" },
  { token: "of", own: 1, along: 0, full: "the" },
  { token: "the", own: 1, along: 0, full: "United" },
  { token: "world", own: 0, along: 0, full: "" },
] as const;
const DRAFTS = POSITIONS.slice(1).map(({ token }) => token);
const ACCEPTED = DRAFTS.findIndex((token, i) => token !== POSITIONS[i]!.full);

const PITCH = { x: 54, y: 34 };
const CELL = { width: 34, height: 28 };
const GRID = { y: TOP + 112, draft: 88, verify: 432 };
const FLOOR = GRID.y + PITCH.y * STAGES.length;

const cellAt = (left: number, position: number, stage: number): Area => ({
  ...CELL,
  x: left + position * PITCH.x,
  y: FLOOR - (stage + 1) * PITCH.y + 3,
});
const tokenAt = (left: number, position: number): Area => ({
  x: left + position * PITCH.x - 8,
  y: FLOOR + 8,
  width: 50,
  height: 22,
});

export function losslessRound(): string {
  const accept = FLOOR + 104;
  return drawing({
    title: "One lossless round: the exits draft, and the full model verifies in one batch",
    description:
      "Left: drafting. From the newest token, “the”, the exits at depths 3 and 6 propose one token after another: " +
      "people, of, the, world. Each position runs only up to the exit that fires. Right: verification. All five " +
      "positions run the blocks they lack, in one batch; the full model’s next tokens after the first four are " +
      "people, of, the, United. Below: the first three drafts agree and are accepted; “world” is rejected, the " +
      "full model’s “United” takes its place, and the keys, values and state of the rejected position are removed. " +
      "If all drafts agree, the last position yields a bonus token.",
    height: accept + 132,
    parts: [draft(), verify(), acceptFrom(accept)],
  });
}

/** Labels of stages and exits at the left, and the column of positions that are complete already. */
function axes(left: number, names: boolean): string {
  const earlier = STAGES.map((_, stage) =>
    cells({ ...cellAt(left, 0, stage), x: left - 36, width: 16 }, { columns: 1, color: "gray" }),
  );
  const end = left + POSITIONS.length * PITCH.x - 14;
  const exits = [1, 2].map((stage) =>
    divider({ x: left - 38, y: FLOOR - stage * PITCH.y }, { x: end, y: FLOOR - stage * PITCH.y }),
  );
  const labels = names
    ? STAGES.map((name, stage) =>
        label({ x: left - 42, y: cellAt(left, 0, stage).y + 18 }, name, { anchor: "end", secondary: true }),
      )
    : [];
  return [...earlier, ...exits, ...labels].join("\n");
}

function tokens(left: number): string {
  return POSITIONS.map(({ token }, s) => {
    const color = s === 0 ? "gray" : "green";
    const area = tokenAt(left, s);
    return [
      cells(area, { columns: 1, color, opacity: 0.14, dashed: s > 0 }),
      label({ x: area.x + area.width / 2, y: area.y + 15 }, token, { anchor: "middle" }),
    ].join("\n");
  }).join("\n");
}

function draft(): string {
  const left = GRID.draft;
  const ran = POSITIONS.flatMap(({ own, along }, s) =>
    STAGES.map((_, stage) => {
      const area = cellAt(left, s, stage);
      if (stage < own) return cells(area, { columns: 1, color: "blue", opacity: 0.45 });
      if (stage < own + along) return cells(area, { columns: 1, color: "blue", opacity: 0.14 });
      return cells(area, { columns: 1, color: "gray", opacity: 0, dashed: true });
    }),
  );
  const proposals = DRAFTS.map((_, s) => {
    const from = rightOf(cellAt(left, s, POSITIONS[s]!.own - 1), -9);
    const x = cellAt(left, s + 1, 0).x - 5;
    return arrow(from, { x, y: tokenAt(left, s + 1).y }, { color: "green", via: [{ x, y: from.y }] });
  });
  return [
    heading({ x: MARGIN, y: TOP + 12 }, "1. Draft"),
    label(
      { x: MARGIN, y: TOP + 29 },
      "Run the newest position to the first exit whose score reaches its threshold; that head’s token is a draft. " +
        "Go on from it, up to the draft limit (here four).",
      { width: 340, secondary: true },
    ),
    axes(left, true),
    ...ran,
    ...proposals,
    tokens(left),
    label({ x: left - 42, y: FLOOR + 3 - PITCH.y * STAGES.length - 4 }, "blocks", { anchor: "end", secondary: true }),
    ...[1, 2].map((stage) =>
      label({ x: left - 42, y: FLOOR - stage * PITCH.y + 4 }, "exit", { anchor: "end", bold: true }),
    ),
    keys({ x: MARGIN, y: FLOOR + 52 }, [
      { color: "blue", opacity: 0.45, text: "run to draft" },
      { color: "blue", opacity: 0.14, text: "run along with a deeper draft" },
    ]),
    keys({ x: MARGIN, y: FLOOR + 69 }, [
      { color: "gray", text: "earlier positions: complete" },
      { color: "gray", opacity: 0, dashed: true, text: "not run yet" },
    ]),
  ].join("\n");
}

function verify(): string {
  const left = GRID.verify;
  const ran = POSITIONS.flatMap(({ own, along }, s) =>
    STAGES.map((_, stage) =>
      cells(cellAt(left, s, stage), {
        columns: 1,
        color: stage < own + along ? "blue" : "orange",
        opacity: stage < own + along ? 0.14 : 0.45,
      }),
    ),
  );
  const rows = STAGES.map((_, stage) => {
    const count = POSITIONS.filter(({ own, along }) => stage >= own + along).length;
    return label(
      { x: left + POSITIONS.length * PITCH.x - 4, y: cellAt(left, 0, stage).y + 18 },
      `${count} row${count === 1 ? "" : "s"}`,
      { secondary: true },
    );
  });
  const top = GRID.y - 34;
  const outputs = POSITIONS.map(({ full }, s) => {
    const area = { ...tokenAt(left, s), y: top };
    if (full === "") return label({ x: area.x + 25, y: top + 15 }, "unused", { anchor: "middle", secondary: true });
    return [
      cells(area, { columns: 1, color: "orange", opacity: 0.14 }),
      label({ x: area.x + 25, y: top + 15 }, full, { anchor: "middle" }),
      arrow(topOf(cellAt(left, s, STAGES.length - 1)), bottomOf(area), { color: "orange" }),
    ].join("\n");
  });
  const cut = tokenAt(left, POSITIONS.length - 1);
  return [
    heading({ x: left - 36, y: TOP + 12 }, "2. Verify"),
    label(
      { x: left - 36, y: TOP + 29 },
      "All positions run the blocks they lack in one batch, so each block’s weights are read once. The unembedding " +
        "gives the full model’s tokens (top).",
      { width: 344, secondary: true },
    ),
    axes(left, false),
    ...ran,
    ...rows,
    ...outputs,
    tokens(left),
    box(
      { x: cut.x - 1, y: top - 4, width: cut.width + 2, height: cut.y + cut.height - top + 8 },
      { color: "red", dashed: true, hollow: true },
    ),
    keys({ x: left - 36, y: FLOOR + 52 }, [
      { color: "orange", opacity: 0.45, text: "run to verify" },
      { color: "blue", opacity: 0.14, text: "run while drafting" },
    ]),
    keys({ x: left - 36, y: FLOOR + 69 }, [
      { color: "red", opacity: 0, dashed: true, text: "removed after the rejection: K, V and state" },
    ]),
  ].join("\n");
}

function acceptFrom(y: number): string {
  const at = (column: number, row: number): Area => ({
    x: 142 + column * 66,
    y: y + 18 + row * 34,
    width: 60,
    height: 24,
  });
  const names = ["drafts", "full model’s tokens", "output of the round"].map((name, row) =>
    label({ x: MARGIN, y: at(0, row).y + 16 }, name, { bold: row === 2 }),
  );
  const columns = DRAFTS.map((token, i) => {
    const agrees = i < ACCEPTED;
    const own = POSITIONS[i]!.full;
    return [
      box(at(i, 0), { body: token, color: agrees ? "green" : "red", dashed: true }),
      box(at(i, 1), { body: own, color: "orange" }),
      box(at(i, 2), { title: own, color: agrees ? "green" : "orange" }),
      mark({ x: at(i, 0).x + at(i, 0).width / 2, y: y + 47 }, agrees ? "tick" : "cross"),
      arrow(bottomOf(at(i, 1)), topOf(at(i, 2)), { color: agrees ? "green" : "orange" }),
    ].join("\n");
  });
  const notes = { x: 432 - 36, width: WIDTH - MARGIN - 396 };
  return [
    divider({ x: MARGIN, y: y - 22 }, { x: WIDTH - MARGIN, y: y - 22 }),
    heading({ x: MARGIN, y: y + 2 }, "3. Accept"),
    ...names,
    ...columns,
    label(
      { x: notes.x + 24, y: y + 20 },
      "Accepted: the drafts before the first mismatch. Then comes the full model’s own token, the correction. " +
        "Every round yields accepted drafts + 1 tokens.",
      { width: notes.width - 24 },
    ),
    label(
      { x: notes.x + 24, y: y + 84 },
      "If all drafts agree, the row of the last draft gives a bonus token. If no exit fires at a position, it runs " +
        "all blocks: drafting ends there.",
      { width: notes.width - 24, secondary: true },
    ),
  ].join("\n");
}
