/**
 * Best possible gain of exits on a backbone that was trained plainly, and the gain of a certified policy:
 *   npx tsx lab/study/late-exits.ts [--model models/study/vanilla] [--depths 8,9,10,11] [--steps 1000]
 *     [--keep FOLDER] [--out FOLDER]
 * With b(k) the time of a block for k rows, h and u those of a head and of the unembedding, and k - 1 tokens waiting
 * that left after d of L blocks since the last one that did not, plain decoding takes L b(1) + u a token, and with this
 * exit alone
 *     d b(1) + h                              a token that leaves
 *     d b(1) + h + (L - d) b(k) + u           a token that stays
 * The fill is `lazy`, which is exact: the token that stays runs the skipped blocks of those waiting. The largest share
 * of tokens leaves, the surest first, of which all but 5 % of all tokens keep theirs: no slack for a certificate.
 * Trained heads and records are kept in `--keep`. Writes late-exits-8-9-10-11.md and its JSON, named after the depths.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureUnitTimes } from "early-exits";
import { calibrateRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { compareWays } from "early-exits/evaluate";
import { costOfRows } from "../../src/exits/cost/unit-costs.js";
import { coverageAt } from "../../src/exits/train/measure-exits.js";
import { orientScore, predictTime, scoreAt, type ScoreName } from "early-exits/exits";
import { createDevice, folderStore, readModel } from "early-exits/node";
import { machine } from "../report/machine.js";
import { percent, withRange } from "../report/format.js";
import { prose } from "../report/prose.js";
import { reportsFolder } from "../report/script.js";
import { type Table, writeReport } from "../report/report.js";
import { loadSotu, splitCorpus } from "../ship/corpus.js";
import { sampleSegments, segmentTexts, SPLIT_SEED } from "../ship/segments.js";
import { studyHeads } from "./backbone.js";

const LEVEL = 0.95;
const DELTA = 0.05;
/** Segments to certify and to judge on. */
const SEGMENTS = { calibration: 1200, test: 400 } as const;
const RUNS = 40;
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
const name = `late-exits-${depths.join("-")}`;
const kept = join(values.keep, `${values.depths}-${steps}`);
const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
const segments = (part: "calibration" | "test"): string[] =>
  sampleSegments(speeches[part], SEGMENTS[part], SPLIT_SEED).map(({ text }) => text);
const device = await createDevice("wasm");
const model = await readModel(values.model, { device });
const heads = await studyHeads(model, { train: segmentTexts(speeches.train) }, kept, { depths, steps });
const { numLayers } = model.config;
const store = folderStore(join(kept, "records"));
const records = await recordDocuments(heads, segments("calibration"), { store });
const test = await recordDocuments(heads, segments("test"), { store });
console.error("recorded; what follows is timed");
const times = await measureUnitTimes(heads, { time: 4000 });

const bounds = depths.map(boundAt);
const { policy } = await calibrateRecords(records, {
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
const { results, summaries } = await compareWays(
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
const expected = expectedRatio();

await writeReport(values.out, {
  name,
  title: "What exits could bring on a backbone that was trained plainly",
  machine: where,
  tables: [boundTable(), certifiedTable()],
  data: { model: values.model, steps, times, bounds, policy, expected, test: played, results },
});
console.log(join(values.out, `${name}.md`));
await device.dispose();

/** Possible gain of one exit alone. Ratios are plain decoding's time over that with the exit. */
interface Bound {
  readonly depth: number;
  readonly agreement: number;
  readonly score: ScoreName;
  /** Share of tokens that may leave. */
  readonly coverage: number;
  readonly ratio: number;
  /** If skipped blocks never ran. */
  readonly withoutLater: number;
  /** If moreover the head took no time. */
  readonly withoutHead: number;
  /** `ratio` if tokens left exactly where the head is right. */
  readonly perfectScore: number;
}

function boundAt(depth: number, exit: number): Bound {
  const outputs = records.documents.flatMap(({ exits, positions }) =>
    Array.from({ length: positions }, (_, t) => ({ of: exits[exit]!, t })),
  );
  const agrees = outputs.map(({ of, t }) => of.agrees[t]!);
  const byScore = SCORES.map((score) => {
    const scores = outputs.map(({ of, t }) => orientScore(scoreAt(of, t, score), score));
    return { score, scores, coverage: coverageAt(scores, agrees, [LEVEL])[0]! };
  });
  const { score, scores, coverage } = byScore.reduce((best, one) => (one.coverage > best.coverage ? one : best));
  const threshold = scores.toSorted((one, other) => other - one)[Math.round(coverage * scores.length) - 1]!;
  const leaves = scores.map((value) => value >= threshold);
  return {
    depth,
    agreement: agrees.reduce((sum, one) => sum + one, 0) / agrees.length,
    score,
    coverage,
    ratio: ratioOf(exit, leaves),
    withoutLater: ratioOf(exit, leaves, { later: false }),
    withoutHead: ratioOf(exit, leaves, { later: false, head: 0 }),
    perfectScore: ratioOf(
      exit,
      agrees.map((agree) => agree === 1),
    ),
  };
}

/** Plain decoding's time over that with one exit, where `leaves` says who leaves, document after document. */
function ratioOf(
  exit: number,
  leaves: readonly boolean[],
  { later = true, head = times.heads[exit]! }: { readonly later?: boolean; readonly head?: number } = {},
): number {
  const { block, finalHead } = times;
  const depth = depths[exit]!;
  const unembedding = costOfRows(finalHead, 1);
  let time = leaves.length * (depth * costOfRows(block, 1) + head);
  let at = 0;
  for (const { positions } of records.documents) {
    let waiting = 0;
    for (const left of leaves.slice(at, at + positions)) {
      if (left) waiting++;
      else {
        time += (numLayers - depth) * costOfRows(block, later ? 1 + waiting : 1) + unembedding;
        waiting = 0;
      }
    }
    at += positions;
  }
  return (leaves.length * (numLayers * costOfRows(block, 1) + unembedding)) / time;
}

/** Plain decoding's time a token over a way's, by the counts of the runs at unit times: the median over runs. */
function expectedRatio(): number {
  const [of, by] = summaries.map((runs) => runs.map(({ ledger, ids }) => predictTime(ledger, times) / ids.length));
  const ratios = by!.map((time, run) => of![run]! / time).toSorted((one, other) => one - other);
  return ratios[ratios.length >> 1]!;
}

function boundTable(): Table {
  const microseconds = (time: number): string => (1000 * time).toFixed(1);
  const blocks = times.block.slice(0, 4).map(({ cost }) => microseconds(cost));
  return {
    title: "One exit alone, without the slack of a certificate",
    note: prose`
      ${values.model}, float32, one thread; dense int8 heads, ${steps} steps of 1,024 tokens. A block takes
      ${blocks.join(", ")} µs for 1, 2, 3, 4 rows, the unembedding ${microseconds(times.finalHead[0]!.cost)}, the heads
      ${times.heads.map(microseconds).join(", ")}. May leave: the largest share of tokens, the surest first by the best
      score, of which all but 5 % of all tokens keep theirs, on ${records.documents.length} calibration segments. Ratio:
      plain decoding's time over that with the exit, at these times, where tokens wait for skipped blocks as in
      decoding.`,
    columns: [
      "exit after block",
      "head agreement",
      "score",
      "may leave",
      "ratio",
      "if skipped blocks never ran",
      "and heads took no time",
      "ratio if all leave whose head is right",
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
      All these exits together, of which calibration uses those that pay: overall agreement per document, delta
      ${DELTA}, ${records.documents.length} calibration segments, lazy fill. Depth and agreement on
      ${test.documents.length} test segments; speed by ${RUNS} greedy runs of ${NEW_TOKENS} tokens in turns, the ratio
      of medians with the quartiles of the ratios run by run. Expected: by the counts of these runs at unit times.`,
    columns: ["score", "thresholds", "leave early", "depth", "agreement", "expected", "measured"],
    rows: [
      [
        policy.score,
        thresholds.join(", "),
        percent(played.coverage),
        played.meanDepth.toFixed(2),
        percent(played.documentAgreement),
        expected.toFixed(2),
        withRange(measured.ratio),
      ],
    ],
  };
}
