/**
 * What is to be certified and how: the options of `calibrate`, with their defaults and checked against each other.
 *   epsilon = 1 - agreement, the largest risk that the claim allows
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { UnitTimes } from "../../exits/cost/index.js";
import { type FillName, isExactFill } from "../../exits/fill/index.js";
import { type ScoreName, scoreNames } from "../../exits/heads/index.js";
import { requireDelta, requireLevel } from "../bounds/index.js";
import type { CertifiedProcedure, Claim, Unit } from "../certificate/index.js";
import type { ExitCosts, MeanBound } from "../procedures/index.js";
import type { judgedBy } from "../record/index.js";

/** What is to be certified, and how. */
export interface CertifyPolicyOptions {
  /** Share of tokens (of documents, for `anyChange`) that should be the full model's, in (0, 1). @default 0.95 */
  readonly agreement?: number;
  /** Probability that the certificate is wrong, in (0, 1). Not used by `crc`. @default 0.05 */
  readonly delta?: number;
  /** @default "overall" */
  readonly claim?: Claim;
  /**
   * What is taken as independent. Splits never cut a group if it is the unit.
   * @default "group" if documents have groups, otherwise "document"
   */
  readonly unit?: Unit;
  /** @default "fixedSequence" */
  readonly procedure?: CertifiedProcedure;
  /**
   * How a mean loss is bounded. "best": clopperPearson, which is exact, for losses of 0 or 1 (claim anyChange of
   * documents); otherwise wsr or hoeffdingBentkus, whichever the grid split predicts to allow cheaper policies.
   * @default "best"
   */
  readonly bound?: MeanBound | "best";
  /**
   * A score, or "best": of the scores that the heads have, the one with the lowest cost expected from the grid split.
   * @default "best"
   */
  readonly score?: ScoreName | "best";
  /**
   * Times measured on this machine (`measureUnitTimes`), which decide between policies that keep the agreement. The
   * claim does not depend on them. @default multiply-adds, the same on every machine
   */
  readonly costs?: UnitTimes;
  /**
   * How the policy fills keys and values of skipped blocks in use. @default the cheapest that is exact for the heads'
   * model (`exactFill`); from records, which do not tell, "lazy"
   */
  readonly fill?: FillName;
  /** Seeds the order of the documents, and so their split. @default 0 */
  readonly seed?: number;
  /** Share of the documents in the grid split, on which candidates are proposed. @default 0.4 */
  readonly gridShare?: number;
  /**
   * Most candidate vectors that exit. With 0, only "never exit" is tested, against another model (`against`): the
   * certificate is of quantisation alone. @default 20; 12 if each must be run (fills that change other tokens)
   */
  readonly candidates?: number;
}

/** Options with all defaults filled in. */
export interface CertifySettings extends Required<Omit<CertifyPolicyOptions, "costs" | "unit">> {
  /** undefined: groups if documents have them, otherwise documents. */
  readonly unit: Unit | undefined;
  /** Measured times; multiply-adds decide if undefined. */
  readonly costs: UnitTimes | undefined;
  /** Costs that were measured before, if they are not to be counted or computed from times. */
  readonly knownCosts?: ExitCosts;
  readonly epsilon: number;
}

/** The defaults that do not depend on other options. */
export const certifyDefaults = {
  agreement: 0.95,
  delta: 0.05,
  claim: "overall",
  procedure: "fixedSequence",
  bound: "best",
  score: "best",
  fill: "lazy",
  seed: 0,
  gridShare: 0.4,
} as const satisfies CertifyPolicyOptions;

/** Fills in defaults and checks the options. Throws an OptionError. */
export function certifySettings(options: CertifyPolicyOptions): CertifySettings {
  const {
    agreement = certifyDefaults.agreement,
    delta = certifyDefaults.delta,
    claim = certifyDefaults.claim,
    procedure = certifyDefaults.procedure,
    score = certifyDefaults.score,
    fill = certifyDefaults.fill,
    seed = certifyDefaults.seed,
    gridShare = certifyDefaults.gridShare,
    bound = certifyDefaults.bound,
    unit,
    costs,
  } = options;
  const { candidates = isExactFill(fill) ? 20 : 12 } = options;
  requireLevel("calibrate, agreement", agreement);
  requireDelta("calibrate", delta);
  requireInteger("calibrate: candidates", candidates, 0, 999);
  requireOneOf("claim", claim, ["overall", "anyChange", "selective"]);
  if (unit !== undefined) requireOneOf("unit", unit, ["document", "group", "token"]);
  requireOneOf("procedure", procedure, ["fixedSequence", "bonferroni", "byExit", "crc"]);
  requireOneOf("bound", bound, ["best", "wsr", "hoeffdingBentkus", "hoeffding", "clopperPearson"]);
  requireOneOf("score", score, ["best", ...scoreNames]);
  requireNoConflict({ claim, unit, procedure, bound, fill });
  const epsilon = 1 - agreement;
  return {
    agreement,
    epsilon,
    delta,
    claim,
    unit,
    procedure,
    bound,
    score,
    costs,
    fill,
    seed,
    gridShare,
    candidates,
  };
}

function requireOneOf(name: string, value: string, legal: readonly string[]): void {
  if (legal.includes(value)) return;
  throw new OptionError(
    "option-unknown",
    `calibrate: ${name} ${JSON.stringify(value)} does not exist; choose one of ${legal.join(", ")}`,
    { [name]: value },
  );
}

type ClaimSettings = Pick<CertifySettings, "claim" | "unit" | "procedure" | "bound" | "fill">;

function requireNoConflict(settings: ClaimSettings): void {
  const conflict = conflictOf(settings);
  if (conflict === undefined) return;
  const { claim, unit, procedure, bound } = settings;
  throw new OptionError("option-conflict", `calibrate: ${conflict}`, { claim, unit, procedure, bound });
}

/** Options that contradict each other, in words. */
function conflictOf({ claim, unit, procedure, bound, fill }: ClaimSettings): string | undefined {
  if (unit === "token" && claim !== "selective") {
    return `claim "${claim}" is about documents; unit "token" goes with claim "selective"`;
  }
  if (procedure === "byExit" && claim !== "selective") {
    return `procedure "byExit" tests exits one by one; it goes with claim "selective", not "${claim}"`;
  }
  if (procedure === "byExit" && !isExactFill(fill)) {
    return `procedure "byExit" needs a fill that does not change other tokens, not "${fill}"`;
  }
  if (procedure === "crc" && claim === "selective") {
    return 'procedure "crc" bounds a mean loss; it goes with claims "overall" and "anyChange"';
  }
  if (bound === "clopperPearson" && (claim !== "anyChange" || unit === "group")) {
    return 'bound "clopperPearson" is for losses of 0 or 1, claim "anyChange" with documents as units; use "wsr"';
  }
  return undefined;
}

/** Throws an OptionError if tokens were judged in a way that the settings do not fit. */
export function requireJudged(settings: CertifySettings, judged: ReturnType<typeof judgedBy>): void {
  const conflict = judgedConflict(settings, {
    sampled: judged.lossScale !== 1,
    other: judged.reference.kind === "other",
  });
  if (conflict === undefined) return;
  const { claim, unit, procedure, candidates } = settings;
  throw new OptionError("option-conflict", `calibrate: ${conflict}`, { claim, unit, procedure, candidates });
}

function judgedConflict(
  { claim, unit, procedure, candidates }: CertifySettings,
  { sampled, other }: { readonly sampled: boolean; readonly other: boolean },
): string | undefined {
  if (sampled && claim === "anyChange") {
    return 'claim "anyChange" counts documents with a changed token; sampled tokens change in part, so use "overall"';
  }
  if (sampled && unit === "token") {
    return 'unit "token" needs losses of 0 or 1, and those of sampled tokens are in between; use documents';
  }
  if (other && (claim === "selective" || procedure === "crc")) {
    return 'against another model every token counts; use claim "overall" or "anyChange", and no procedure "crc"';
  }
  if (!other && candidates === 0) {
    return "candidates 0 certifies another way of storing the model (against); without exits it is the model itself";
  }
  return undefined;
}
