/** The tables of the report, and the paragraphs above them. */
import { sum } from "d3-array";
import type { ExitHeads } from "early-exits";
import type { PolicyOutcome } from "early-exits/calibrate";
import type { Comparison, WayResult } from "early-exits/evaluate";
import { percent, withRange } from "../report/format.js";
import { prose } from "../report/prose.js";
import type { Table } from "../report/report.js";
import type { NamedWay } from "./ways.js";

/** Result of one way. */
export interface Judged {
  readonly way: NamedWay;
  /** On test documents, given text; undefined if the way is lossless. */
  readonly test: PolicyOutcome | undefined;
  readonly greedy: WayResult;
  readonly sampled: WayResult;
  /** The speed-up of the greedy runs that the ledger's counts predict at unit times. */
  readonly predicted: number;
}

interface SummaryFacts {
  readonly heads: ExitHeads;
  readonly origin: string;
  readonly runs: number;
  readonly tokens: number;
}

const summaryNote = ({ heads, origin, runs, tokens }: SummaryFacts): string => prose`
  Exits after blocks ${heads.depths.join(", ")} of ${heads.model.config.numLayers} (${origin}; ${runs} interleaved runs
  of ${tokens} tokens each way, one thread, float32). Speedups are ratios of median speeds to plain decoding's, with the
  quartiles of the ratios run by run (prompts differ). "of predicted" is the measured speedup divided by the one that
  the ledger's counts predict at unit times measured in the same run. Agreement and depth on test documents are those of
  given text; for generated text, the greedy column counts the tokens that the full model would have chosen after the
  same text. Policies of the sampled runs are certified for that sampling (total variation).`;

export function summaryTable(judged: readonly Judged[], facts: SummaryFacts): Table {
  return {
    title: "Ways of decoding",
    note: summaryNote(facts),
    columns: [
      "way",
      "speedup, greedy",
      "speedup, sampled",
      "predicted, greedy",
      "of predicted",
      "agreement on test documents",
      "depth there",
      "agreement, greedy text",
      "blocks/token",
      "M multiply-adds/token",
      "weights MB/token",
    ],
    rows: judged.map(({ way, test, greedy, sampled, predicted }) => [
      way.name,
      withRange(greedy.ratio),
      withRange(sampled.ratio),
      predicted.toFixed(2),
      known(greedy.ratio.median / predicted),
      test === undefined ? "" : known(test.documentAgreement),
      test === undefined ? "" : test.meanDepth.toFixed(2),
      greedy.identical ? "identical" : known(greedy.agreement),
      greedy.blocks.toFixed(2),
      greedy.multiplyAdds / 1e6,
      greedy.weightBytes / 1e6,
    ]),
  };
}

const BUCKET = 20;

/** Mean depth of sampled tokens by their position in the text, in buckets, for the certified ways. */
export function depthByPosition(
  { summaries }: Comparison,
  ways: readonly NamedWay[],
): { readonly way: string; readonly depths: readonly number[] }[] {
  return ways.flatMap(({ name, kind }, i) => {
    if (kind !== "certified") return [];
    const steps = summaries[i]!.map(({ ledger }) => ledger.steps.map(({ blocks }) => blocks));
    const buckets = Math.ceil(steps[0]!.length / BUCKET);
    const depths = Array.from({ length: buckets }, (_, b) => {
      const inBucket = steps.flatMap((run) => run.slice(b * BUCKET, (b + 1) * BUCKET));
      return sum(inBucket, (depth) => depth / inBucket.length);
    });
    return [{ way: name, depths }];
  });
}

export function positionTable(sampled: Comparison, ways: readonly NamedWay[]): Table {
  const rows = depthByPosition(sampled, ways);
  return {
    title: "Depth by position",
    note: `Blocks run per token, sampled text, in buckets of ${BUCKET} tokens after the prompt.`,
    columns: ["way", ...rows[0]!.depths.map((_, b) => `${b * BUCKET + 1} to ${(b + 1) * BUCKET}`)],
    rows: rows.map(({ way, depths }) => [way, ...depths]),
  };
}

function known(share: number): string {
  return Number.isNaN(share) ? "" : percent(share);
}
