/**
 * The certificate's pipeline (src/calibrate): held-out documents are split by a seeded order; one part yields
 * candidates and their order, the other part tests them; the cheapest accepted candidate becomes the policy, everything
 * that the claim rests on becomes the certificate, and an independent verifier recomputes it. Shown: the default, claim
 * `overall` by fixed-sequence testing.
 */
import {
  type Area,
  arrow,
  bottomOf,
  box,
  columnsOf,
  drawing,
  elbow,
  heading,
  label,
  leftOf,
  MARGIN,
  mark,
  rightOf,
  TOP,
  topOf,
  WIDTH,
} from "./shapes.js";

const INSIDE = WIDTH - 2 * MARGIN;
/** Lanes, top to bottom. */
const SOURCE = { x: MARGIN, y: TOP, width: INSIDE, height: 66 };
const GRID = { x: MARGIN, y: TOP + 96, width: INSIDE, height: 112 };
const TEST = { x: MARGIN, y: TOP + 248, width: INSIDE, height: 224 };
const RESULT = { x: MARGIN, y: TOP + 512, width: INSIDE, height: 98 };

/** Three steps side by side within a lane. */
const stepsOf = (lane: Area): Area[] =>
  columnsOf({ x: lane.x + 12, y: lane.y + 32, width: lane.width - 24, height: 70 }, 3, 28);

/** Policy, certificate and verifier. */
const resultsOf = (): Area[] => columnsOf({ ...RESULT, x: MARGIN + 12, width: INSIDE - 24 }, 3, 28);

/** An example of a test: what became of each candidate, and which accepted one is the cheapest. */
const CANDIDATES = ["accepted", "accepted", "accepted", "failed", "untested", "untested"] as const;
const CHEAPEST = 2;

export function certificatePipeline(): string {
  return drawing({
    title: "From held-out documents to a certificate that others can check",
    description:
      "Held-out documents are put in a seeded order and split. The grid split, 40 percent, is recorded; it yields " +
      "about 20 candidate vectors of thresholds in a fixed order, strictest first. The test split, 60 percent, is " +
      "recorded; for each candidate the loss of every document and a p-value are computed, and the candidates are " +
      "tested in order until the first failure. The cheapest accepted candidate becomes the policy; the fallback is " +
      "to never exit. The certificate stores the policy, the claim, the seed, hashes and all counts, and an " +
      "independent verifier recomputes its numbers.",
    height: RESULT.y + RESULT.height + 48,
    parts: [source(), gridLane(), testLane(), sequence(), result()],
  });
}

function source(): string {
  const [documents, order, split] = columnsOf(
    { x: MARGIN + 12, y: SOURCE.y, width: INSIDE - 24, height: SOURCE.height },
    3,
    28,
  ) as [Area, Area, Area];
  return [
    box(documents, {
      color: "gray",
      title: "held-out documents",
      body: "many short ones, not used to train the heads",
    }),
    arrow(rightOf(documents), leftOf(order)),
    box(order, { color: "gray", title: "seeded order", body: "sorted by SHA-256 of the seed and the document’s hash" }),
    arrow(rightOf(order), leftOf(split)),
    box(split, { color: "gray", title: "split", body: "the first 40 % choose,\nthe other 60 % test" }),
    arrow(bottomOf(split), { x: bottomOf(split).x, y: GRID.y }, { color: "blue" }),
    arrow(
      rightOf(split),
      { x: WIDTH - MARGIN - 6, y: TEST.y },
      { color: "orange", via: [{ x: WIDTH - MARGIN - 6, y: rightOf(split).y }] },
    ),
  ].join("\n");
}

function gridLane(): string {
  const lane = { ...GRID, width: INSIDE - 12 };
  const [records, candidates, order] = stepsOf(GRID) as [Area, Area, Area];
  return [
    box(lane, { color: "blue", hollow: true }),
    heading({ x: lane.x + 12, y: lane.y + 20 }, "Grid split: chooses what will be tested"),
    box(records, {
      color: "blue",
      title: "records",
      body: "at each position: each head’s scores, and whether its argmax is the full model’s",
    }),
    arrow(rightOf(records), leftOf(candidates), { color: "blue" }),
    box(candidates, {
      color: "blue",
      title: "candidates",
      body: "about 20 threshold vectors: the cheapest for each loss allowed",
    }),
    arrow(rightOf(candidates), leftOf(order), { color: "blue" }),
    box(
      { ...order, width: order.width - 12 },
      {
        color: "blue",
        title: "fixed order",
        body: "strictest first, starting at the first one that is likely to pass",
      },
    ),
    arrow({ x: order.x + 60, y: GRID.y + 102 }, { x: order.x + 60, y: TEST.y + 32 }, { color: "blue" }),
    label({ x: order.x + 52, y: GRID.y + 132 }, "the list and its order are fixed before the test documents are used", {
      anchor: "end",
      secondary: true,
    }),
  ].join("\n");
}

function testLane(): string {
  const [records, losses, pValues] = stepsOf(TEST) as [Area, Area, Area];
  return [
    box(TEST, { color: "orange", hollow: true }),
    heading({ x: TEST.x + 12, y: TEST.y + 20 }, "Test split: its documents have influenced no choice"),
    box(records, { color: "orange", title: "records", body: "the same, for documents that were not used before" }),
    arrow(rightOf(records), leftOf(losses), { color: "orange" }),
    box(losses, {
      color: "orange",
      title: "losses",
      body: "per candidate and document: share of tokens that differ from the full model’s",
    }),
    arrow(rightOf(losses), leftOf(pValues), { color: "orange" }),
    box(pValues, {
      color: "orange",
      title: "p-value per candidate",
      body: "chance of losses this small if the true mean were above ε",
    }),
  ].join("\n");
}

/** The candidates in the order of testing, and the way from the cheapest accepted one to the policy. */
function sequence(): string {
  const tiles = columnsOf(
    { x: TEST.x + 12, y: TEST.y + 146, width: TEST.width - 24, height: 44 },
    CANDIDATES.length,
    12,
  );
  const pValues = stepsOf(TEST)[2]!;
  const policy = resultsOf()[0]!;
  const failed = tiles[CANDIDATES.indexOf("failed")]!;
  return [
    elbow(bottomOf(pValues), { x: tiles[0]!.x + 20, y: tiles[0]!.y }, TEST.y + 114, "orange"),
    label({ x: TEST.x + 44, y: TEST.y + 134 }, "Fixed-sequence test: in order, ending before the first failure", {
      bold: true,
    }),
    ...tiles.map((tile, i) => candidate(tile, i)),
    ...tiles.slice(0, CANDIDATES.indexOf("failed")).map((tile, i) => arrow(rightOf(tile), leftOf(tiles[i + 1]!))),
    label({ x: bottomOf(failed).x, y: failed.y + 60 }, "stop here", { anchor: "middle", secondary: true }),
    elbow(bottomOf(tiles[CHEAPEST]!), topOf(policy), RESULT.y - 20, "green"),
    label({ x: topOf(policy).x + 10, y: RESULT.y - 6 }, "the cheapest accepted candidate", { secondary: true }),
  ].join("\n");
}

function candidate(tile: Area, index: number): string {
  const note = index === 0 ? " (strictest)" : index === CANDIDATES.length - 1 ? " (laxest)" : "";
  const title = `${index + 1}${note}`;
  const at = { x: tile.x + tile.width - 14, y: tile.y + 29 };
  switch (CANDIDATES[index]!) {
    case "accepted":
      return [box(tile, { color: "green", title, body: "p ≤ δ" }), mark(at, "tick")].join("\n");
    case "failed":
      return [box(tile, { color: "red", title, body: "p > δ" }), mark(at, "cross")].join("\n");
    case "untested":
      return box(tile, { title, body: "not tested", dashed: true, hollow: true });
  }
}

function result(): string {
  const [policy, certificate, verifier] = resultsOf() as [Area, Area, Area];
  return [
    box(policy, {
      color: "green",
      title: "policy",
      body: "score, thresholds, fill, hashes of model and heads; if no candidate passes: never exit",
    }),
    arrow(rightOf(policy), leftOf(certificate), { color: "green" }),
    box(certificate, {
      color: "green",
      title: "certificate (JSON)",
      body: "claim, ε, δ, seed, split, document hashes, counts of every candidate tested, assumptions, digest",
    }),
    arrow(rightOf(certificate), leftOf(verifier), { color: "purple" }),
    box(verifier, {
      color: "purple",
      title: "independent verifier",
      body:
        "recomputes order, losses, p-values and choice from the file alone, with code of its own: valid, or the " +
        "reasons why not",
    }),
    label(
      { x: MARGIN + 12, y: RESULT.y + RESULT.height + 18 },
      "Shown: the default claim (overall agreement) with a fill that leaves other tokens unchanged. With any other " +
        "fill, every candidate is run on the documents, because records cannot show what it does.",
      { width: INSIDE - 24, secondary: true },
    ),
  ].join("\n");
}
