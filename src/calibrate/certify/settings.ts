/**
 * The options of `calibrate`, with their defaults.
 *   epsilon = 1 - agreement, the largest mean loss that the claim allows
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { UnitTimes } from "../../exits/cost/unit-times.js";
import { type FillName, isExactFill } from "../../exits/fill/fill.js";
import { type ScoreName, scoreNames } from "../../exits/heads/score.js";
import type { AnswerLossName } from "../../exits/plan/policy.js";
import { requireOneOf } from "../../known.js";
import { requireInside } from "../../risk/check.js";
import { shown } from "../../shown.js";
import type { ExitCosts } from "../procedures/tally.js";
import type { Unit } from "../record/split.js";

export interface CertifyPolicyOptions {
  /** Share of tokens (of documents, for any change) that should be the full model's. @default 0.95 */
  readonly agreement?: number;
  /** Probability that the certificate is wrong, in (0, 1). @default 0.05 */
  readonly delta?: number;
  /**
   * Certificates made together, of which the best is used: levels, fills or seeds. delta is divided among them, so that
   * with probability 1 - delta all of them hold; the certificate says so. @default 1
   */
  readonly choices?: number;
  /**
   * The loss of a document. token: the share of its tokens that change; for sampled ones, their mean total variation.
   * anyChange: 1 if any changes, for greedy text. @default "token"
   */
  readonly loss?: "token" | "anyChange";
  /**
   * Describes the documents in one line of at most 200 characters, such as "chat prompts, English, answers of at most
   * 144 tokens": the certificate and whatever uses it say that they speak of such texts.
   */
  readonly population?: string;
  /**
   * The unit taken as independent; splits never cut it.
   * @default "group" if documents have groups, otherwise "document"
   */
  readonly unit?: Unit;
  /**
   * A score, or "best": of the heads' scores, the one with the lowest cost expected from the grid split.
   * @default "best"
   */
  readonly score?: ScoreName | "best";
  /**
   * Times measured on this machine (`measureUnitTimes`), by which the cheapest policy is chosen. The claim does not
   * depend on them. @default multiply-adds, the same on every machine
   */
  readonly costs?: UnitTimes;
  /**
   * The fill of the policy in use. @default the cheapest that is exact for the heads' model (`exactFill`); from
   * records, which do not tell, "lazy"
   */
  readonly fill?: FillName;
  /** Seeds the order of the documents, and so their split. @default 0 */
  readonly seed?: number;
  /** Share of the documents on which candidates are proposed. @default 0.4 */
  readonly gridShare?: number;
  /**
   * Most candidate vectors that exit. 0 tests only "never exit", against another model (`against`): a certificate of
   * quantisation alone. @default 20; 12 if each must be run (fills that change other tokens)
   */
  readonly candidates?: number;
}

export interface CertifySettings extends Required<
  Omit<CertifyPolicyOptions, "costs" | "unit" | "population" | "loss">
> {
  readonly loss: AskedLoss;
  /** undefined: groups if documents have them, otherwise documents. */
  readonly unit: Unit | undefined;
  readonly population: string | undefined;
  /** Multiply-adds decide if undefined. */
  readonly costs: UnitTimes | undefined;
  /** Costs measured before, in place of counted ones or times. */
  readonly knownCosts?: ExitCosts;
  readonly epsilon: number;
}

/** For sampled text, `token` is the total variation. */
type AskedLoss = "token" | "anyChange" | AnswerLossName;

interface AskedOptions extends Omit<CertifyPolicyOptions, "loss"> {
  readonly loss?: AskedLoss;
}

export const certifyDefaults = {
  agreement: 0.95,
  delta: 0.05,
  loss: "token",
  score: "best",
  fill: "lazy",
  seed: 0,
  gridShare: 0.4,
} as const satisfies CertifyPolicyOptions;

/** Throws an OptionError, also for a loss that is not among `losses`. */
export function certifySettings(
  options: AskedOptions,
  losses: readonly AskedLoss[] = ["token", "anyChange"],
): CertifySettings {
  const {
    agreement = certifyDefaults.agreement,
    delta = certifyDefaults.delta,
    choices = 1,
    loss = certifyDefaults.loss,
    score = certifyDefaults.score,
    fill = certifyDefaults.fill,
    seed = certifyDefaults.seed,
    gridShare = certifyDefaults.gridShare,
    candidates = isExactFill(fill) ? 20 : 12,
    unit,
    costs,
    population,
  } = options;
  requireInside("calibrate: agreement", agreement);
  requireInside("calibrate: delta", delta);
  requireInteger("calibrate: choices", choices, 1, 1000);
  requireInteger("calibrate: candidates", candidates, 0, 999);
  requireOneOf("calibrate: loss", loss, losses);
  if (unit !== undefined) requireOneOf("calibrate: unit", unit, ["document", "group"]);
  requireOneOf("calibrate: score", score, ["best", ...scoreNames]);
  const line = /^[^\p{C}\p{Z}][^\p{C}\p{Zl}\p{Zp}]{0,199}$/u;
  if (population !== undefined && (typeof population !== "string" || !line.test(population))) {
    throw new OptionError(
      "option-unknown",
      `calibrate: population ${shown(population)} is not one line of 1 to 200 characters; ` +
        'describe the documents, such as "chat prompts, English"',
      { population },
    );
  }
  return {
    agreement,
    epsilon: 1 - agreement,
    delta: delta / choices,
    choices,
    loss,
    unit,
    score,
    costs,
    fill,
    seed,
    gridShare,
    candidates,
    population,
  };
}
