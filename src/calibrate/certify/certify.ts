/**
 * From evidence to a certified policy:
 *   1. the first documents of the seeded order are the grid split: candidates, their order and the score come from it
 *      (candidates.ts, plan.ts)
 *   2. the other documents are the test: what every candidate does to them is counted
 *   3. the candidates are tested in their order, and the cheapest accepted one becomes the policy; "never exit" where
 *      none is accepted
 * Whatever is chosen on the grid split costs no validity: the test has not seen it.
 */
import { OptionError, requireInteger } from "../../errors.js";
import { type FillName, isExactFill } from "../../exits/fill/index.js";
import type { CertifiedFor, Policy } from "../../exits/plan/index.js";
import { type ScoreName, scoreNames } from "../../exits/heads/index.js";
import type { UnitTimes } from "../../exits/cost/index.js";
import { libraryVersion } from "../../version.js";
import { requireDelta, requireLevel } from "../bounds/index.js";
import {
  anyChangeLosses,
  type Candidate,
  certifyByExit,
  certifyLosses,
  certifySelective,
  conformalRiskControl,
  costsOf,
  type ExitCosts,
  type ExitTest,
  expectedCost,
  type LossMatrix,
  type MeanBound,
  nothing,
  overallLosses,
  planOverall,
  planSelective,
  proposeOverall,
  proposeSelective,
  rawThreshold,
  startSelective,
  type Tally,
  tallyVectors,
  type TestSequence,
  type ThresholdVector,
  type TokenTable,
} from "../procedures/index.js";
import {
  type Certificate,
  type CertificateCandidate,
  type CertificateCounts,
  type CertificateTest,
  type CertifiedProcedure,
  type Claim,
  sealCertificate,
  type Unit,
} from "../certificate/index.js";
import { type Evidence, exitCosts, gridSize, outcomeOfTally, requireScore, scoresOf } from "../record/index.js";

/** What is to be certified, and how. */
export interface CertifyPolicyOptions {
  /** Share of tokens (of documents, for `anyChange`) that should be the full model's, in (0, 1). @default 0.95 */
  readonly agreement?: number;
  /** Chance that the certificate is wrong, in (0, 1). Not used by `crc`. @default 0.05 */
  readonly delta?: number;
  /** @default "overall" */
  readonly claim?: Claim;
  /** @default "document" */
  readonly unit?: Unit;
  /** @default "fixedSequence" */
  readonly procedure?: CertifiedProcedure;
  /**
   * How a mean loss is bounded. @default "wsr", which buys most (bench/reports/simulate.md); "clopperPearson" for
   * anyChange, where it is exact
   */
  readonly bound?: MeanBound;
  /**
   * A score, or the one of those that the heads have that promises the lowest cost on the grid split. @default "best"
   */
  readonly score?: ScoreName | "best";
  /**
   * What decides between policies that keep the agreement: times measured on this machine (`measureUnitTimes`). The
   * claim does not depend on it. @default multiply-adds, the same everywhere
   */
  readonly costs?: UnitTimes;
  /** How the deployed policy fills keys and values of skipped blocks. @default "lazy" */
  readonly fill?: FillName;
  /** Seeds the order of the documents, and so their split. @default 0 */
  readonly seed?: number;
  /** Share of the documents that the candidates come from. @default 0.4 */
  readonly gridShare?: number;
  /** Candidate vectors at most. @default 20; 12 where each must be run (fills that change other tokens) */
  readonly candidates?: number;
}

export const certifyDefaults = {
  agreement: 0.95,
  delta: 0.05,
  claim: "overall",
  unit: "document",
  procedure: "fixedSequence",
  score: "best",
  fill: "lazy",
  seed: 0,
  gridShare: 0.4,
} as const satisfies CertifyPolicyOptions;

type Settings = Required<Omit<CertifyPolicyOptions, "costs">> &
  Pick<CertifyPolicyOptions, "costs"> & { readonly epsilon: number };

/** Checks options against each other and fills in defaults. Throws an OptionError. */
export function certifySettings(options: CertifyPolicyOptions): Settings {
  const {
    agreement = certifyDefaults.agreement,
    delta = certifyDefaults.delta,
    claim = certifyDefaults.claim,
    unit = certifyDefaults.unit,
    procedure = certifyDefaults.procedure,
    score = certifyDefaults.score,
    fill = certifyDefaults.fill,
    seed = certifyDefaults.seed,
    gridShare = certifyDefaults.gridShare,
  } = options;
  const { bound = claim === "anyChange" ? "clopperPearson" : "wsr", candidates = isExactFill(fill) ? 20 : 12 } =
    options;
  requireLevel("calibrate, agreement", agreement);
  requireDelta("calibrate", delta);
  requireInteger("calibrate: candidates", candidates, 1, 1000);
  requireOneOf("claim", claim, ["overall", "anyChange", "selective"]);
  requireOneOf("unit", unit, ["document", "token"]);
  requireOneOf("procedure", procedure, ["fixedSequence", "bonferroni", "byExit", "crc"]);
  requireOneOf("bound", bound, ["wsr", "hoeffdingBentkus", "hoeffding", "clopperPearson"]);
  requireOneOf("score", score, ["best", ...scoreNames]);
  const conflict = (message: string): OptionError =>
    new OptionError("option-conflict", `calibrate: ${message}`, { claim, unit, procedure, bound });
  if (unit === "token" && claim !== "selective") {
    throw conflict(`claim ${claim} is about documents; unit "token" goes with claim "selective"`);
  }
  if (procedure === "byExit" && claim !== "selective") {
    throw conflict(`procedure "byExit" judges exits one by one; it goes with claim "selective", not "${claim}"`);
  }
  if (procedure === "byExit" && !isExactFill(fill)) {
    throw conflict(`procedure "byExit" needs a fill that leaves other tokens alone, not ${fill}`);
  }
  if (procedure === "crc" && claim === "selective") {
    throw conflict('procedure "crc" bounds a mean loss; it goes with claims "overall" and "anyChange"');
  }
  if (bound === "clopperPearson" && claim !== "anyChange") {
    throw conflict('bound "clopperPearson" is for losses of 0 or 1: claim "anyChange"; use "wsr"');
  }
  return {
    agreement,
    delta,
    claim,
    unit,
    procedure,
    bound,
    score,
    fill,
    seed,
    gridShare,
    candidates,
    epsilon: 1 - agreement,
    ...(options.costs && { costs: options.costs }),
  };
}

function requireOneOf(name: string, value: string, legal: readonly string[]): void {
  if (!legal.includes(value)) {
    throw new OptionError(
      "option-unknown",
      `calibrate: ${name} ${JSON.stringify(value)} does not exist; choose one of ${legal.join(", ")}`,
      { [name]: value },
    );
  }
}

/** A policy, and the certificate that it is for. */
export interface Certified {
  readonly policy: Policy;
  readonly certificate: Certificate;
}

/** A plan with the score it was made for, and what exits cost with that. */
interface ScoredPlan {
  readonly score: ScoreName;
  readonly costs: ExitCosts;
  readonly plan: TestSequence;
  /** All that was proposed, before the plan chose where to begin. */
  readonly proposed: readonly Pick<Candidate, "thresholds" | "cost">[];
}

/** Certifies a policy from evidence whose documents are in the seeded order. Every document must have tokens. */
export async function certifyPolicy(evidence: Evidence, options: CertifyPolicyOptions): Promise<Certified> {
  const settings = certifySettings(options);
  const grid = gridSize(evidence.documents.length, settings.gridShare);
  if (settings.score !== "best") requireScore(evidence.subject, settings.score);
  const scored = await choosePlan(evidence, grid, settings);
  const { score, costs } = scored;
  const plan = isExactFill(settings.fill) ? scored.plan : await replan(evidence, grid, scored, settings);
  const evaluated =
    settings.procedure === "byExit"
      ? await testByExit(evidence, grid, score, costs, settings)
      : await testVectors(evidence, grid, score, plan, settings);
  return conclude(evidence, { grid, costs, score, ...evaluated }, settings);
}

/**
 * The same for vectors that are given, strictest first, proposed on documents that are not among these. The first
 * documents only decide where the sequence begins.
 */
export async function certifyVectors(
  evidence: Pick<Evidence, "subject" | "sequenceLength" | "documents" | "tally">,
  score: ScoreName,
  vectors: readonly ThresholdVector[],
  options: CertifyPolicyOptions,
): Promise<Certified> {
  const settings = certifySettings(options);
  const { subject, documents, tally } = evidence;
  const { epsilon, delta, claim, unit, bound } = settings;
  const grid = gridSize(documents.length, settings.gridShare);
  const costs = exitCosts(subject, { fill: settings.fill, score, times: settings.costs });
  const all = costsOf(await tally(0, grid, score, vectors), costs);
  // "never exit" needs no test, and costs less than the others
  const paying = vectors.filter((_, i) => all[i]! < costs.full);
  const prices = all.filter((cost) => cost < costs.full);
  const seen = await tally(0, grid, score, paying.length > 0 ? paying : vectors);
  const expected = { epsilon, delta, documents: documents.length - grid };
  const plan =
    claim === "selective"
      ? paying.length === 0
        ? nothing
        : startSelective(seen, paying, prices, { ...expected, unit })
      : planOverall(
          seen,
          paying.map((thresholds, i) => ({ thresholds, cost: prices[i]! })),
          { ...expected, bound, losses: lossesOf(claim) },
        );
  return conclude(
    evidence,
    { grid, costs, score, ...(await testVectors(evidence, grid, score, plan, settings)) },
    settings,
  );
}

/** Tokens of the grid split that scores are compared on, about. */
const COMPARED = 12_000;

/**
 * For every score asked for: candidates from the grid split (of a large one, its first documents); the score with the
 * lowest expected cost is kept.
 */
async function choosePlan(
  { subject, documents, table }: Evidence,
  grid: number,
  settings: Settings,
): Promise<ScoredPlan> {
  const { score, delta, fill } = settings;
  const plan = async (name: ScoreName, end: number): Promise<ScoredPlan> => {
    const costs = exitCosts(subject, { fill, score: name, times: settings.costs });
    return { score: name, costs, ...propose(await table(0, end, name), costs, documents.length - grid, settings) };
  };
  if (score !== "best") return plan(score, grid);
  let compared = 0;
  let tokens = 0;
  while (compared < grid && tokens < COMPARED) tokens += documents[compared++]!.tokens;
  const plans: ScoredPlan[] = [];
  for (const name of scoresOf(subject)) plans.push(await plan(name, compared));
  const costOf = ({ plan: tests, costs }: ScoredPlan): number => expectedCost(tests, delta, costs.full);
  const best = plans.reduce((one, other) => (costOf(other) < costOf(one) ? other : one));
  return compared === grid ? best : plan(best.score, grid);
}

function propose(
  grid: TokenTable,
  costs: ExitCosts,
  documents: number,
  { epsilon, delta, claim, unit, bound, candidates: count }: Settings,
): Pick<ScoredPlan, "plan" | "proposed"> {
  if (claim === "selective") {
    const plan = planSelective(grid, proposeSelective(grid, costs, { epsilon, count }), costs, {
      epsilon,
      delta,
      documents,
      unit,
    });
    return { plan, proposed: plan.vectors.map((thresholds, i) => ({ thresholds, cost: plan.costs[i]! })) };
  }
  // A document changes as soon as one of its tokens does: slacks for shares are smaller by its length.
  const slack = claim === "overall" ? epsilon : epsilon / Math.max(1, grid.starts[grid.documents]! / grid.documents);
  const proposed = proposeOverall(grid, costs, { epsilon: slack, count });
  return {
    proposed,
    plan: planOverall(
      tallyVectors(
        grid,
        proposed.map(({ thresholds }) => thresholds),
      ),
      proposed,
      { epsilon, delta, documents, bound, losses: lossesOf(claim) },
    ),
  };
}

/** With a fill that changes other tokens, where to begin is decided by what the candidates did when they were run. */
async function replan(
  { documents, tally }: Evidence,
  grid: number,
  { score, proposed, plan }: ScoredPlan,
  { epsilon, delta, claim, unit, bound }: Settings,
): Promise<TestSequence> {
  if (proposed.length === 0) return plan;
  const vectors = proposed.map(({ thresholds }) => thresholds);
  const run = await tally(0, grid, score, vectors);
  const expected = { epsilon, delta, documents: documents.length - grid };
  if (claim === "selective") {
    return startSelective(
      run,
      vectors,
      proposed.map(({ cost }) => cost),
      { ...expected, unit },
    );
  }
  return planOverall(run, proposed, { ...expected, bound, losses: lossesOf(claim) });
}

function lossesOf(claim: Claim): (tally: Tally) => LossMatrix {
  return claim === "anyChange" ? anyChangeLosses : overallLosses;
}

/** What the tests showed: stored tests, the vector that was accepted, and what it did on all test documents. */
interface Evaluated {
  readonly tests: readonly CertificateTest[];
  readonly vector: ThresholdVector;
  readonly tally: Tally;
  readonly candidate: number;
  readonly furtherUnits: number | null;
}

async function testVectors(
  { documents, tally: count, subject }: Pick<Evidence, "documents" | "tally" | "subject">,
  grid: number,
  score: ScoreName,
  { vectors, costs }: TestSequence,
  settings: Settings,
): Promise<Evaluated> {
  const { epsilon, delta, claim, unit, procedure, bound, fill } = settings;
  const never = subject.depths.map(() => Infinity);
  const tally = await count(grid, documents.length, score, vectors.length > 0 ? vectors : [never]);
  if (vectors.length === 0) return { tests: [], vector: never, tally, candidate: 0, furtherUnits: null };
  const sequence = { epsilon, delta, costs };
  const result =
    procedure === "crc"
      ? riskControlled(lossesOf(claim)(tally), epsilon, costs)
      : claim === "selective"
        ? certifySelective(tally, {
            ...sequence,
            procedure: procedure as "fixedSequence" | "bonferroni",
            unit,
            bound: bound as Exclude<MeanBound, "clopperPearson">,
          })
        : certifyLosses(lossesOf(claim)(tally), {
            ...sequence,
            procedure: procedure as "fixedSequence" | "bonferroni",
            bound,
          });
  const { accepted, chosen, risks, furtherUnits } = result;
  const pValues: readonly (number | null)[] = result.pValues;
  const tested = procedure === "bonferroni" ? vectors.length : Math.min(vectors.length, accepted.length + 1);
  const candidates = vectors.slice(0, tested).map((vector, i): CertificateCandidate => ({
    ...countsOf(tally, i, vector, score, fill),
    cost: costs[i]!,
    risk: risks[i]!,
    pValue: pValues[i] ?? null,
  }));
  const test: CertificateTest = {
    exit: null,
    delta,
    first: 0,
    documents: documents.length - grid,
    candidates,
    planned: vectors.length,
    accepted: [...accepted],
    chosen,
  };
  if (chosen !== "never") return { tests: [test], vector: vectors[chosen]!, tally, candidate: chosen, furtherUnits };
  return {
    tests: [test],
    vector: never,
    tally: await count(grid, documents.length, score, [never]),
    candidate: 0,
    furtherUnits,
  };
}

/** Conformal risk control in the terms of the others. */
function riskControlled(losses: LossMatrix, epsilon: number, costs: readonly number[]) {
  const { accepted, worstSoFar } = conformalRiskControl(losses, epsilon);
  const chosen =
    accepted.length > 0
      ? accepted.reduce((best, candidate) => (costs[candidate]! < costs[best]! ? candidate : best))
      : ("never" as const);
  // It accepts where the mean loss R̂ <= ε (n+1)/n - 1/n, that is n >= (1 - ε) / (ε - R̂).
  const needed = worstSoFar[0]! < epsilon ? Math.ceil((1 - epsilon) / (epsilon - worstSoFar[0]!)) : null;
  return {
    accepted,
    chosen,
    risks: worstSoFar,
    pValues: costs.map(() => null),
    furtherUnits: chosen !== "never" ? 0 : needed === null ? null : Math.max(1, needed - losses.units),
  };
}

async function testByExit(
  { documents, table, subject }: Evidence,
  grid: number,
  score: ScoreName,
  costs: ExitCosts,
  { epsilon, delta, unit, bound, fill }: Settings,
): Promise<Evaluated> {
  const test = await table(grid, documents.length, score);
  const { vector, tests } = certifyByExit(await table(0, grid, score), test, costs, {
    epsilon,
    delta,
    unit,
    bound: bound as Exclude<MeanBound, "clopperPearson">,
  });
  const stored = tests.map((one): CertificateTest => ({
    exit: one.exit,
    delta: one.delta,
    first: one.first,
    documents: one.documents,
    planned: one.vectors.length,
    accepted: [...one.accepted],
    candidates: one.vectors.slice(0, one.accepted.length + 1).map((thresholds, i) => ({
      ...countsOf(one.tally!, i, thresholds, score, fill),
      cost: one.costs[i]!,
      risk: shareWrong(one, i),
      pValue: one.pValues[i]!,
    })),
    chosen:
      one.accepted.length === 0
        ? "never"
        : one.accepted.reduce((best, candidate) => (one.costs[candidate]! < one.costs[best]! ? candidate : best)),
  }));
  const exits = vector.some((threshold) => threshold < Infinity);
  return {
    tests: stored,
    vector,
    tally: tallyVectors(test, [subject.depths.map((_, exit) => vector[exit]!)]),
    candidate: 0,
    furtherUnits: exits ? 0 : null,
  };
}

/** Share of wrong tokens among those that left at the exit of this test. */
function shareWrong({ tally, exit }: ExitTest, candidate: number): number {
  const { documents, candidates, exits, left, wrong } = tally!;
  let leaving = 0;
  let mistaken = 0;
  for (let d = 0; d < documents; d++) {
    leaving += left[(d * candidates + candidate) * exits + exit]!;
    mistaken += wrong[(d * candidates + candidate) * exits + exit]!;
  }
  return leaving === 0 ? 0 : mistaken / leaving;
}

function countsOf(
  { documents, candidates, exits, left, wrong, deep }: Tally,
  candidate: number,
  vector: ThresholdVector,
  score: ScoreName,
  fill: FillName,
): CertificateCounts {
  const rows = (from: Int32Array, width: number): number[] =>
    Array.from(
      { length: documents * width },
      (_, i) => from[(Math.floor(i / width) * candidates + candidate) * width + (i % width)]!,
    );
  return {
    thresholds: vector.map((threshold) => rawThreshold(threshold, score)),
    left: rows(left, exits),
    wrong: rows(wrong, exits),
    deep: isExactFill(fill) ? [] : rows(deep, 1),
  };
}

async function conclude(
  { subject, documents, sequenceLength }: Pick<Evidence, "documents" | "sequenceLength" | "subject">,
  {
    grid,
    costs,
    score,
    tests,
    vector,
    tally,
    candidate,
    furtherUnits,
  }: Evaluated & { readonly grid: number; readonly costs: ExitCosts; readonly score: ScoreName },
  settings: Settings,
): Promise<Certified> {
  const { agreement, delta, claim, unit, procedure, bound, fill, seed } = settings;
  const thresholds = vector.map((threshold) => rawThreshold(threshold, score));
  const { modelHash, headsHash, dtype, backend, depths, numLayers } = subject;
  const certified: CertifiedFor = { claim, agreement, score, thresholds, fill, dtype };
  const policy: Policy = {
    format: "early-exits/policy",
    version: 1,
    score,
    exits: depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! })),
    fill,
    agreement,
    modelHash,
    headsHash,
    certified,
  };
  const { values, candidates } = lossesOf(claim)(tally);
  const certificate = await sealCertificate({
    format: "early-exits/certificate",
    version: 1,
    libraryVersion,
    claim,
    agreement,
    promise: procedure === "crc" ? "expectation" : "probability",
    delta,
    unit,
    bound: procedure === "crc" ? "crc" : unit === "token" ? "binomial" : bound,
    procedure,
    assumptions: assumptionsOf(settings, sequenceLength),
    policy,
    numLayers,
    backend,
    split: { seed, grid },
    documents: documents.map(({ hash, tokens }) => ({ hash, tokens })),
    sequenceLength,
    costs,
    costUnit: settings.costs === undefined ? "multiplyAdds" : "milliseconds",
    tests,
    accepted: {
      ...countsOf(tally, candidate, vector, score, fill),
      losses: Array.from({ length: tally.documents }, (_, d) => values[d * candidates + candidate]!),
    },
    measured: outcomeOfTally(tally, candidate, subject),
    furtherUnits,
  });
  return { policy, certificate };
}

/** What must be true of the world for the claim to mean what it says. */
function assumptionsOf({ claim, unit, procedure, fill, delta, agreement }: Settings, sequenceLength: number): string[] {
  const percent = `${Number((100 * agreement).toPrecision(6))} %`;
  const claims = {
    overall:
      "Claim: the share of a document's tokens that are the full model's, averaged over documents, is at " +
      `least ${percent}.`,
    anyChange: `Claim: at least ${percent} of documents have no token changed.`,
    selective:
      `Claim: of the tokens that leave at an exit, at least ${percent} are the full model's, at every exit in ` +
      "use. It says nothing of a share of all tokens.",
  } as const satisfies Record<Claim, string>;
  return [
    claims[claim],
    procedure === "crc"
      ? "It holds in the mean over draws of calibration documents, not for each draw with high probability."
      : `It fails with probability at most ${delta} over the draw of calibration documents.`,
    unit === "document"
      ? "The calibration documents and those met in use are independent draws from one population; tokens within " +
        "a document may depend on each other in any way."
      : "Tokens are independent draws from one population. Tokens of one document are not: under clustering this " +
        "claim fails more often than it says.",
    "Each token is judged against the full model's on the same prefix, text as given (teacher-forced), in " +
      `windows of at most ${sequenceLength} tokens; greedy decoding. Text that the policy writes itself is ` +
      "another population: calibrate on such text where it matters.",
    isExactFill(fill)
      ? `Keys and values: "${fill}", which leaves tokens that run all blocks as the full model has them; so one ` +
        "recorded pass shows what the policy does."
      : `Keys and values: "${fill}", which changes other tokens too. The policy was run as deployed, from the ` +
        "first token on, and every token is " +
        `counted${claim === "selective" ? ", but the claim speaks of tokens that leave early only" : ""}.`,
    "Scores are compared as this device computes them; another device may differ in last bits.",
  ];
}
