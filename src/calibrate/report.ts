/**
 * What records show about heads and scores, as data: per exit, the agreement of the most confident tokens at every
 * coverage; how well each score separates agreeing from disagreeing tokens; and what an ideal choice of exits reaches.
 *   auroc    P(an agreeing token scores higher than a disagreeing one), ties count half; 0.5: no better than chance
 *   aurc     area under the risk-coverage curve: the mean, over all coverages, of the share of disagreeing tokens among
 *            the most confident; lower is better
 *   oracle   every token leaves at the earliest exit that agrees, and costs that one head
 * Each exit is judged on all tokens, as if it were the only one. The bands are pointwise Clopper-Pearson intervals that
 * take tokens as independent: they illustrate, while only certificates guarantee. For sampled text a token agrees to
 * the degree 1 - TV (judge.ts): it counts as that share of an agreeing token, and as the rest of a disagreeing one.
 */
import { requireInteger } from "../errors.js";
import { orientScore, type ScoreName } from "../exits/heads/index.js";
import type { CertifiedSampling, Policy, Reference } from "../exits/plan/index.js";
import { clopperPearsonLower, clopperPearsonUpper } from "./bounds/index.js";
import { type ExitCosts, lossesIn, type TokenTable } from "./procedures/index.js";
import {
  type CalibrationRecords,
  exitCosts,
  judgedBy,
  playPolicy,
  type PolicyOutcome,
  requireScore,
  scoresOf,
  tableOf,
} from "./record/index.js";

export interface CurvePoint {
  /** Share of the tokens whose confidence is at least that of `threshold`. */
  readonly coverage: number;
  /** The raw score there. */
  readonly threshold: number;
  /** Share of these whose token is the full model's, and its confidence band. */
  readonly agreement: number;
  readonly low: number;
  readonly high: number;
}

export interface ScoreQuality {
  /** null if all tokens agree, or none. */
  readonly auroc: number | null;
  readonly aurc: number;
}

export interface ExitReport {
  readonly depth: number;
  /** Share of all tokens on which the head agrees. */
  readonly agreement: number;
  readonly curve: readonly CurvePoint[];
  /** The quality of every score that the heads have. */
  readonly scores: Readonly<Record<ScoreName, ScoreQuality>>;
}

/** Means over tokens: depth, and cost as a share of the full model's. */
export interface DepthAndCost {
  readonly meanDepth: number;
  readonly cost: number;
}

/** A policy on the records: what it does, and how far it falls short of the oracle. */
export interface PolicyReport extends DepthAndCost {
  readonly outcome: PolicyOutcome;
  readonly regret: DepthAndCost;
}

/** Agreement by coverage, the scores side by side, and what an ideal choice of exits reaches. */
export interface AgreementReport {
  readonly format: "early-exits/report";
  readonly version: 1;
  readonly documents: number;
  readonly positions: number;
  readonly numLayers: number;
  /** How tokens were chosen, and the model that they were compared with. */
  readonly sampling: CertifiedSampling;
  readonly reference: Reference;
  /** What the model keeps without exits; 1 unless another model is the reference. */
  readonly withoutExits: number;
  /** The score of the curves. */
  readonly score: ScoreName;
  /** 1 - the confidence level of the bands. */
  readonly delta: number;
  readonly exits: readonly ExitReport[];
  readonly oracle: DepthAndCost;
  /** null if no policy was given. */
  readonly policy: PolicyReport | null;
}

export interface ReportOptions {
  /** The score of the curves. @default the policy's, or "margin" */
  readonly score?: ScoreName;
  /** A policy to report on as well. The records show exactly what it does if its fill is exact. */
  readonly policy?: Policy;
  /** 1 - the confidence level of the bands. @default 0.05 */
  readonly delta?: number;
  /** Points per curve. @default 50 */
  readonly points?: number;
}

/** The defaults of a report without a policy. */
export const reportDefaults = { score: "margin", delta: 0.05, points: 50 } as const satisfies ReportOptions;

/** Reports on records. Throws an OptionError if the score is not recorded. */
export function reportAgreement(records: CalibrationRecords, options: ReportOptions = {}): AgreementReport {
  const { policy, delta = reportDefaults.delta, points = reportDefaults.points } = options;
  const { score = policy?.score ?? reportDefaults.score } = options;
  requireInteger("reportAgreement: points", points, 1, 10_000);
  requireScore(records, score);
  const { sampling, reference, lossScale } = judgedBy(records);
  const tables = new Map(scoresOf(records).map((name) => [name, tableOf(records.documents, name, lossScale)]));
  const costs = exitCosts(records, { fill: policy?.fill ?? "lazy" });
  const oracle = oracleOf(records, costs);
  return {
    format: "early-exits/report",
    version: 1,
    documents: records.documents.length,
    positions: positionsOf(tables.get(score)!),
    numLayers: records.numLayers,
    sampling,
    reference,
    withoutExits: keptAtFullDepth(tables.get(score)!),
    score,
    delta,
    exits: records.depths.map((depth, exit) => reportExit(tables, { depth, exit, score, delta, points })),
    oracle,
    policy: policy === undefined ? null : reportPolicy(records, policy, oracle),
  };
}

function positionsOf({ documents, starts }: TokenTable): number {
  return starts[documents]!;
}

/** The agreement of tokens that run all blocks. */
function keptAtFullDepth(table: TokenTable): number {
  const { lossScale, deep } = lossesIn(table);
  let lost = 0;
  for (const loss of deep ?? []) lost += loss;
  return 1 - lost / lossScale / positionsOf(table);
}

interface ExitOptions {
  readonly depth: number;
  /** Index of the exit. */
  readonly exit: number;
  readonly score: ScoreName;
  readonly delta: number;
  readonly points: number;
}

function reportExit(
  tables: ReadonlyMap<ScoreName, TokenTable>,
  { depth, exit, score, delta, points }: ExitOptions,
): ExitReport {
  const rankings = new Map(
    Array.from(tables, ([name, table]) => {
      const { lossScale, exits } = lossesIn(table);
      return [
        name,
        rank(
          table.oriented[exit]!,
          Float64Array.from(exits[exit]!, (loss) => 1 - loss / lossScale),
        ),
      ];
    }),
  );
  const { order, agreed } = rankings.get(score)!;
  const table = tables.get(score)!;
  const positions = positionsOf(table);
  const curve = Array.from({ length: points }, (_, p): CurvePoint => {
    const count = Math.max(1, Math.round(((p + 1) / points) * positions));
    const wrong = count - agreed[count - 1]!;
    return {
      coverage: count / positions,
      threshold: orientScore(table.oriented[exit]![order[count - 1]!]!, score),
      agreement: 1 - wrong / count,
      low: 1 - clopperPearsonUpper(Math.ceil(wrong), count, delta / 2),
      high: 1 - clopperPearsonLower(Math.floor(wrong), count, delta / 2),
    };
  });
  const qualities = Object.fromEntries(Array.from(rankings, ([name, { quality }]) => [name, quality]));
  return {
    depth,
    agreement: agreed[positions - 1]! / positions,
    curve,
    scores: qualities as ExitReport["scores"],
  };
}

/** Tokens from the most confident down. */
interface Ranking {
  /** Token indices. */
  readonly order: Uint32Array;
  /** How many of the first k + 1 tokens agree. */
  readonly agreed: Float64Array;
  readonly quality: ScoreQuality;
}

/** `agrees`: to which degree each token agrees, in [0, 1]. */
function rank(oriented: Float64Array, agrees: Float64Array): Ranking {
  const order = Uint32Array.from(oriented, (_, i) => i).sort((a, b) => oriented[b]! - oriented[a]! || a - b);
  const agreed = new Float64Array(order.length);
  const total = agrees.reduce((sum, agree) => sum + agree, 0);
  const others = order.length - total;
  /** A token is no pair with itself, though it may agree in part. */
  const withThemselves = agrees.reduce((sum, agree) => sum + agree * (1 - agree), 0);
  let seen = 0;
  let pairs = 0;
  let risks = 0;
  let begin = 0;
  while (begin < order.length) {
    // One block of equal scores at a time.
    const score = oriented[order[begin]!];
    let end = begin;
    let right = 0;
    let alone = 0;
    while (end < order.length && oriented[order[end]!] === score) {
      const agree = agrees[order[end]!]!;
      right += agree;
      alone += agree * (1 - agree);
      agreed[end] = seen + right;
      end++;
    }
    const wrong = end - begin - right;
    // Each agreeing token beats the disagreeing ones after its block, and half of those in it.
    pairs += right * (others - (begin - seen) - wrong) + (right * wrong - alone) / 2;
    seen += right;
    risks += (end - begin) * (1 - seen / end); // a block of ties leaves as a whole
    begin = end;
  }
  const possible = total * others - withThemselves;
  return {
    order,
    agreed,
    quality: { auroc: possible > 0 ? pairs / possible : null, aurc: risks / order.length },
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

function reportPolicy(records: CalibrationRecords, policy: Policy, oracle: DepthAndCost): PolicyReport {
  const outcome = playPolicy(records, policy);
  const { reach, head, full } = exitCosts(records, policy);
  const { positions, coverage, meanDepth, exits } = outcome;
  let heads = 0;
  exits.forEach(({ reached }, exit) => {
    if (policy.exits[exit]!.threshold !== "never") heads += reached * head[exit]!;
  });
  const early = exits.reduce((sum, { left }, exit) => sum + left * reach[exit]!, 0);
  const cost = (heads + early + (1 - coverage) * positions * full) / (positions * full);
  return {
    outcome,
    meanDepth,
    cost,
    regret: { meanDepth: meanDepth - oracle.meanDepth, cost: cost - oracle.cost },
  };
}
