/**
 * What recorded text says about heads and scores, as data: per exit the agreement of the surest tokens at every
 * coverage, how well each score tells agreement from disagreement, and what a perfect choice of exits would reach.
 *   auroc    P(an agreeing token is surer than a disagreeing one), ties a half; .5 says nothing, 1 all
 *   aurc     area under the risk-coverage curve: the mean, over all coverages, of the share of wrong tokens among the surest; lower is better
 *   oracle   every token leaves at the earliest exit that agrees, and pays for that head alone
 * Each exit is looked at on all tokens, as if it were the only one. The band is Clopper-Pearson's, pointwise, tokens
 * taken as independent: a picture, not a promise; certificates make promises.
 */
import { requireInteger } from "../errors.js";
import type { Policy } from "../exits/plan/index.js";
import { type LogitScore, type ScoreName, orientScore } from "../exits/heads/index.js";
import { clopperPearsonLower, clopperPearsonUpper } from "./bounds/index.js";
import type { ExitCosts } from "./procedures/index.js";
import {
  type CalibrationRecords,
  exitCosts,
  playPolicy,
  type PolicyOutcome,
  requireScore,
  scoresOf,
  tableOf,
} from "./record/index.js";

export interface CurvePoint {
  /** Share of the tokens that are at least this sure. */
  readonly coverage: number;
  /** The raw score there. */
  readonly threshold: number;
  /** Share of these whose token is the full model's, and its confidence band. */
  readonly agreement: number;
  readonly low: number;
  readonly high: number;
}

export interface ScoreQuality {
  /** null where all tokens agree, or none. */
  readonly auroc: number | null;
  readonly aurc: number;
}

export interface ExitReport {
  readonly depth: number;
  /** Of all tokens. */
  readonly agreement: number;
  readonly curve: readonly CurvePoint[];
  /** Of every score that the heads have. */
  readonly scores: Readonly<Record<LogitScore, ScoreQuality> & Partial<Record<"gate", ScoreQuality>>>;
}

/** Per token: mean depth, and mean cost over the full model's. */
export interface DepthAndCost {
  readonly meanDepth: number;
  readonly cost: number;
}

/** Agreement by coverage, the scores side by side, and what a perfect choice of exits would reach. */
export interface AgreementReport {
  readonly format: "early-exits/report";
  readonly version: 1;
  readonly documents: number;
  readonly positions: number;
  readonly numLayers: number;
  /** The score of the curves. */
  readonly score: ScoreName;
  /** 1 - the confidence of the bands. */
  readonly delta: number;
  readonly exits: readonly ExitReport[];
  readonly oracle: DepthAndCost;
  /** Where a policy was given: what it does on this text, and how far it stays behind the oracle. */
  readonly policy: (DepthAndCost & { readonly outcome: PolicyOutcome; readonly regret: DepthAndCost }) | null;
}

export interface ReportOptions {
  /** Of the curves. @default the policy's, or "margin" */
  readonly score?: ScoreName;
  /** Judged too, on the records: exact for fills that leave other tokens alone. */
  readonly policy?: Policy;
  /** @default 0.05 */
  readonly delta?: number;
  /** Points per curve. @default 50 */
  readonly points?: number;
}

export const reportDefaults = { score: "margin", delta: 0.05, points: 50 } as const satisfies ReportOptions;

/** Reports on records. */
export function reportAgreement(records: CalibrationRecords, options: ReportOptions = {}): AgreementReport {
  const { policy, delta = reportDefaults.delta, points = reportDefaults.points } = options;
  const { score = policy?.score ?? reportDefaults.score } = options;
  requireInteger("reportAgreement: points", points, 1, 10_000);
  requireScore(records, score);
  const tables = scoresOf(records).map((name) => [name, tableOf(records.documents, name)] as const);
  const chosen = tables.find(([name]) => name === score)![1];
  const positions = chosen.starts[chosen.documents]!;
  const exits = records.depths.map((depth, exit): ExitReport => {
    const ranked = tables.map(([name, table]) => [name, rank(table.oriented[exit]!, table.agrees[exit]!)] as const);
    const { order, agreed } = ranked.find(([name]) => name === score)![1];
    const curve = Array.from({ length: points }, (_, p): CurvePoint => {
      const count = Math.max(1, Math.round(((p + 1) / points) * positions));
      const wrong = count - agreed[count - 1]!;
      return {
        coverage: count / positions,
        threshold: orientScore(chosen.oriented[exit]![order[count - 1]!]!, score),
        agreement: 1 - wrong / count,
        low: 1 - clopperPearsonUpper(wrong, count, delta / 2),
        high: 1 - clopperPearsonLower(wrong, count, delta / 2),
      };
    });
    return {
      depth,
      agreement: agreed[positions - 1]! / positions,
      curve,
      scores: Object.fromEntries(ranked.map(([name, { quality }]) => [name, quality])) as Record<
        LogitScore,
        ScoreQuality
      >,
    };
  });
  const oracle = oracleOf(
    records,
    exitCosts(records, { fill: policy?.fill ?? "lazy", score: policy?.score ?? "margin" }),
  );
  return {
    format: "early-exits/report",
    version: 1,
    documents: records.documents.length,
    positions,
    numLayers: records.numLayers,
    score,
    delta,
    exits,
    oracle,
    policy: policy === undefined ? null : judged(records, policy, oracle),
  };
}

/** Tokens from the surest on: their order, how many of the first k agree, and how good the ranking is. */
function rank(
  oriented: Float64Array,
  agrees: Uint8Array,
): { order: Uint32Array; agreed: Uint32Array; quality: ScoreQuality } {
  const order = Uint32Array.from(oriented, (_, i) => i).sort((a, b) => oriented[b]! - oriented[a]! || a - b);
  const agreed = new Uint32Array(order.length);
  const total = agrees.reduce((sum, agree) => sum + agree, 0);
  const others = order.length - total;
  let seen = 0;
  let pairs = 0;
  let risks = 0;
  for (let begin = 0; begin < order.length;) {
    let end = begin;
    let right = 0;
    while (end < order.length && oriented[order[end]!] === oriented[order[begin]!]) {
      right += agrees[order[end]!]!;
      agreed[end++] = seen + right;
    }
    const wrong = end - begin - right;
    // Each agreeing token beats the disagreeing ones after its block, and half of those in it.
    pairs += right * (others - (begin - seen) - wrong / 2);
    seen += right;
    risks += (end - begin) * (1 - seen / end); // a block of ties leaves as a whole
    begin = end;
  }
  return {
    order,
    agreed,
    quality: { auroc: total === 0 || others === 0 ? null : pairs / (total * others), aurc: risks / order.length },
  };
}

function oracleOf(
  { documents, depths, numLayers }: CalibrationRecords,
  { reach, head, full }: ExitCosts,
): DepthAndCost {
  let depth = 0;
  let cost = 0;
  let tokens = 0;
  for (const { exits, positions } of documents) {
    for (let t = 0; t < positions; t++) {
      const exit = exits.findIndex(({ agrees }) => agrees[t] === 1);
      depth += depths[exit] ?? numLayers;
      cost += exit < 0 ? full : Math.min(full, reach[exit]! + head[exit]!);
    }
    tokens += positions;
  }
  return { meanDepth: depth / tokens, cost: cost / (tokens * full) };
}

function judged(records: CalibrationRecords, policy: Policy, oracle: DepthAndCost): AgreementReport["policy"] {
  const outcome = playPolicy(records, policy);
  const { reach, head, full } = exitCosts(records, policy);
  const heads = outcome.exits.reduce(
    (sum, { reached }, exit) => sum + (policy.exits[exit]!.threshold === "never" ? 0 : reached * head[exit]!),
    0,
  );
  const early = outcome.exits.reduce((sum, { left }, exit) => sum + left * reach[exit]!, 0);
  const cost = (heads + early + (1 - outcome.coverage) * outcome.positions * full) / (outcome.positions * full);
  return {
    outcome,
    meanDepth: outcome.meanDepth,
    cost,
    regret: { meanDepth: outcome.meanDepth - oracle.meanDepth, cost: cost - oracle.cost },
  };
}
