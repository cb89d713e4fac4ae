/**
 * The options of `calibrate`, with their defaults.
 *   epsilon = 1 - agreement, the largest mean loss that the claim allows
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { UnitTimes } from "../../exits/cost/unit-times.js";
import { type FillName, isExactFill } from "../../exits/fill/fill.js";
import { type ScoreName, scoreNames } from "../../exits/heads/score.js";
import { requireDelta, requireLevel } from "../bounds/check.js";
import type { ExitCosts } from "../procedures/tally.js";
import type { Unit } from "../record/split.js";

/** Options of a certificate. */
export interface CertifyPolicyOptions {
  /** Share of tokens (of documents, if the loss is any change) that should be the full model's. @default 0.95 */
  readonly agreement?: number;
  /** Probability that the certificate is wrong, in (0, 1). @default 0.05 */
  readonly delta?: number;
  /**
   * The loss of a document. token: the share of its tokens that change; of sampled tokens, their mean total variation.
   * anyChange: 1 if any of its tokens changes, for greedy text. @default "token"
   */
  readonly loss?: "token" | "anyChange";
  /**
   * The unit taken as independent. Splits never cut a group if it is the unit.
   * @default "group" if documents have groups, otherwise "document"
   */
  readonly unit?: Unit;
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
   * The way in which the policy fills keys and values of skipped blocks in use. @default the cheapest that is exact for
   * the heads' model (`exactFill`); from records, which do not tell, "lazy"
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
  loss: "token",
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
    loss = certifyDefaults.loss,
    score = certifyDefaults.score,
    fill = certifyDefaults.fill,
    seed = certifyDefaults.seed,
    gridShare = certifyDefaults.gridShare,
    candidates = isExactFill(fill) ? 20 : 12,
    unit,
    costs,
  } = options;
  requireLevel("calibrate, agreement", agreement);
  requireDelta("calibrate", delta);
  requireInteger("calibrate: candidates", candidates, 0, 999);
  requireOneOf("loss", loss, ["token", "anyChange"]);
  if (unit !== undefined) requireOneOf("unit", unit, ["document", "group"]);
  requireOneOf("score", score, ["best", ...scoreNames]);
  return { agreement, epsilon: 1 - agreement, delta, loss, unit, score, costs, fill, seed, gridShare, candidates };
}

function requireOneOf(name: string, value: string, legal: readonly string[]): void {
  if (legal.includes(value)) return;
  throw new OptionError(
    "option-unknown",
    `calibrate: ${name} ${JSON.stringify(value)} does not exist; choose one of ${legal.join(", ")}`,
    { [name]: value },
  );
}
