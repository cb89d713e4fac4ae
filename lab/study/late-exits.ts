/**
 * What exits could bring at best on a backbone that was trained plainly, and what a certified policy brings:
 *   npx tsx lab/study/late-exits.ts [--model models/study/vanilla] [--depths 8,9,10,11] [--steps 1000]
 *     [--keep FOLDER] [--out FOLDER]
 * With b the time of a block, r that of a further row in it, h and u those of a head and of the unembedding, and c the
 * share of tokens that leave after d of L blocks, plain decoding takes L b + u a token, and with this exit alone
 *     T(c) = d b + h + (1 - c) ((L - d) b + u) + c (L - d) r
 * The fill is `lazy`, which is exact: skipped blocks run later, as a further row. c is the largest share, the surest
 * tokens first, of which all but 5 % of all tokens keep theirs, without the slack that a certificate takes. Trained
 * heads are kept in `--keep`. Writes late-exits.md and late-exits.json.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureUnitTimes } from "early-exits";
import { calibrateRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { compareWays } from "early-exits/evaluate";
import { coverageAt, orientScore, scoreAt, type ScoreName } from "early-exits/exits";
import { createDevice, readModel } from "early-exits/node";
import { machine, percent, prose, reportsFolder, type Table, withRange, writeReport } from "../report/index.js";
import { loadSotu, sampleSegments, segmentTexts, SPLIT_SEED, splitCorpus } from "../ship/index.js";
import { studyHeads } from "./backbone.js";

const LEVEL = 0.95;
const DELTA = 0.05;
/** Segments to certify and to judge on. */
const SEGMENTS = { calibration: 1200, test: 400 } as const;
const RUNS = 24;
const NEW_TOKENS = 100;
const PROMPT_TOKENS = 24;
/** Scores that need no training. */
const SCORES = ["margin", "maxProb", "probGap", "entropy"] as const satisfies readonly ScoreName[];

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/study/vanilla" },
    depths: { type: "string", default: "8,9,10,11" },
    steps: { type: "string", default: "1000" },
    keep: { type: "string", default: "models/study/.kept/late" },
    out: { type: "string", default: reportsFolder },
  },
});

const where = machine();
const depths = values.depths.split(",").map(Number);
const steps = Number(values.steps);
const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
const segments = (part: "calibration" | "test"): string[] =>
  sampleSegments(speeches[part], SEGMENTS[part], SPLIT_SEED).map(({ text }) => text);
const model = await readModel(values.model, { device: await createDevice("wasm") });
const heads = await studyHeads(
  model,
  { train: segmentTexts(speeches.train) },
  join(values.keep, `${values.depths}-${steps}`),
  { depths, steps },
);
const { numLayers } = model.config;
const times = await measureUnitTimes(heads, { time: 4000 });
const records = await recordDocuments(heads, segments("calibration"));
const test = await recordDocuments(heads, segments("test"));

/** The four numbers that a token's time depends on, in milliseconds. */
const b = times.block[0]!.cost;
const r = times.block[1]!.cost - b;
const u = times.finalHead[0]!.cost;
const plain = numLayers * b + u;
const bounds = depths.map(boundAt);
const { policy, certificate } = await calibrateRecords(records, {
  agreement: LEVEL,
  delta: DELTA,
  seed: 1,
  fill: "lazy",
  costs: times,
  gridShare: 0.25,
});

const played = playPolicy(test, policy);
const prompts = segments("test")
  .slice(0, RUNS)
  .map((text) => model.tokenizer.encode(text).slice(0, PROMPT_TOKENS));
const { results } = await compareWays(
  heads,
  [
    { name: "plain", options: {} },
    { name: "certified", options: { policy } },
  ],
  prompts,
  {
    runs: RUNS,
    maxNewTokens: NEW_TOKENS,
  },
);
const measured = results[1]!;
const expected = certificate.tests.flatMap(({ candidates, chosen }) =>
  chosen === "never" ? [] : [certificate.costs.full / candidates[chosen]!.cost],
)[0];

await writeReport(values.out, {
  name: "late-exits",
  title: "What exits could bring on a backbone that was trained plainly",
  machine: where,
  tables: [boundTable(), certifiedTable()],
  data: { model: values.model, steps, times, bounds, policy, expected, test: played, results },
});
console.log(join(values.out, "late-exits.md"));
await model.device.dispose();

/** What one exit alone could bring. */
interface Bound {
  readonly depth: number;
  readonly agreement: number;
  readonly score: ScoreName;
  readonly coverage: number;
  /** Plain decoding's time over T(c). */
  readonly ratio: number;
  /** The same if the skipped blocks never ran, and if moreover the head took no time. */
  readonly withoutLater: number;
  readonly withoutHead: number;
  /** The same as `ratio` with a score that always knows whether the head is right. */
  readonly perfectScore: number;
}

function boundAt(depth: number, exit: number): Bound {
  const outputs = records.documents.flatMap(({ exits, positions }) =>
    Array.from({ length: positions }, (_, t) => ({ of: exits[exit]!, t })),
  );
  const agrees = outputs.map(({ of, t }) => of.agrees[t]!);
  const agreement = agrees.reduce((sum, one) => sum + one, 0) / agrees.length;
  const byScore = SCORES.map((score) => {
    const scores = outputs.map(({ of, t }) => orientScore(scoreAt(of, t, score), score));
    return { score, coverage: coverageAt(scores, agrees, [LEVEL])[0]! };
  });
  const best = byScore.reduce((found, one) => (one.coverage > found.coverage ? one : found));
  const h = times.heads[exit]!;
  const ratio = (c: number, head = h, later = r): number =>
    plain / (depth * b + head + (1 - c) * ((numLayers - depth) * b + u) + c * (numLayers - depth) * later);
  return {
    depth,
    agreement,
    ...best,
    ratio: ratio(best.coverage),
    withoutLater: ratio(best.coverage, h, 0),
    withoutHead: ratio(best.coverage, 0, 0),
    perfectScore: ratio(Math.min(1, agreement + 1 - LEVEL)),
  };
}

function boundTable(): Table {
  const microseconds = (time: number): string => (1000 * time).toFixed(1);
  return {
    title: "One exit alone, without the slack of a certificate",
    note: prose`
      ${values.model}, float32, one thread; dense int8 heads, ${steps} steps of 1,024 tokens. A block takes
      ${microseconds(b)} µs, a further row in it ${microseconds(r)}, the unembedding ${microseconds(u)}, a head
      ${microseconds(times.heads[0]!)}. May leave: the largest share of tokens, the surest first by the best score, of which
      all but 5 % of all tokens keep theirs, on ${records.documents.length} calibration segments. Ratio: plain
      decoding's time over that with the exit, at these times.`,
    columns: [
      "exit after block",
      "head agreement",
      "score",
      "may leave",
      "ratio",
      "if skipped blocks never ran",
      "and heads took no time",
      "ratio with a perfect score",
    ],
    rows: bounds.map(({ depth, agreement, score, coverage, ...ratios }) => [
      String(depth),
      percent(agreement),
      score,
      percent(coverage),
      ratios.ratio.toFixed(3),
      ratios.withoutLater.toFixed(3),
      ratios.withoutHead.toFixed(3),
      ratios.perfectScore.toFixed(3),
    ]),
  };
}

function certifiedTable(): Table {
  const thresholds = policy.exits.map(
    ({ depth, threshold }) => `${depth}: ${typeof threshold === "number" ? threshold.toFixed(3) : threshold}`,
  );
  return {
    title: `Certified at ${LEVEL}`,
    note: prose`
      All these exits together, of which calibration uses those that pay: overall agreement per document, delta ${DELTA},
      ${records.documents.length} calibration segments, lazy fill. Depth and agreement on ${test.documents.length} test
      segments; speed by ${RUNS} greedy runs of ${NEW_TOKENS} tokens in turns, the
      ratio of medians with the quartiles of the ratios run by run.`,
    columns: ["score", "thresholds", "leave early", "depth", "agreement", "expected", "measured"],
    rows: [
      [
        policy.score,
        thresholds.join(", "),
        percent(played.coverage),
        played.meanDepth.toFixed(2),
        percent(played.documentAgreement),
        expected === undefined ? "never exits" : expected.toFixed(2),
        withRange(measured.ratio),
      ],
    ],
  };
}
