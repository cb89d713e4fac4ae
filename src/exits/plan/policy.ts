/**
 * A policy: when to leave at which exit. Plain, JSON-able data, bound to a model, its heads and the way keys and values
 * of skipped blocks are filled. Thresholds are raw scores (see score.ts); "always" and "never" are written out.
 */
import { PolicyError } from "../../errors.js";
import type { WeightDtype } from "../../tensor/index.js";
import { checkScoreName, type ExitHeads, type ScoreName, type Threshold } from "../heads/index.js";
import { checkFill, type FillName, requireFillFor } from "../fill/index.js";

export interface PolicyExit {
  /** Blocks run before this exit. */
  readonly depth: number;
  readonly threshold: Threshold;
}

/**
 * What a certificate speaks of. A policy that was changed since, or weights stored in another way, are not what was
 * certified.
 */
export interface CertifiedFor {
  readonly claim: "overall" | "selective" | "anyChange";
  readonly agreement: number;
  readonly score: ScoreName;
  readonly thresholds: readonly Threshold[];
  readonly fill: FillName;
  readonly dtype: WeightDtype;
}

/** When to leave at which exit: plain, JSON-able data, bound to a model and its heads. */
export interface Policy {
  readonly format: "early-exits/policy";
  readonly version: 1;
  readonly score: ScoreName;
  /** Ascending by depth; one for every head it was made for. */
  readonly exits: readonly PolicyExit[];
  /** How keys and values of skipped blocks come about. */
  readonly fill: FillName;
  /**
   * With `lazy`: after this many tokens in a row that left early, one runs all blocks, and theirs with it. @default no
   * bound
   */
  readonly lazyLimit?: number;
  /** The agreement asked for, where the policy was calibrated. */
  readonly agreement?: number;
  /** SHA-256 of the model and the heads it was made for; unbound where absent (a policy written by hand). */
  readonly modelHash?: string;
  readonly headsHash?: string;
  /**
   * Where the policy came with a certificate: what that was for. Leave it out to use a changed policy without a
   * promise.
   */
  readonly certified?: CertifiedFor;
}

export interface PolicyOptions {
  /** @default "entropy" */
  readonly score?: ScoreName;
  /** @default "lazy" */
  readonly fill?: FillName;
  /** @default no bound */
  readonly lazyLimit?: number;
}

/** A policy by hand: one threshold for every head, or one for all. */
export function createPolicy(
  heads: ExitHeads,
  thresholds: Threshold | readonly Threshold[],
  { score = "entropy", fill = "lazy", lazyLimit }: PolicyOptions = {},
): Policy {
  const list = Array.isArray(thresholds)
    ? (thresholds as readonly Threshold[])
    : heads.depths.map(() => thresholds as Threshold);
  if (list.length !== heads.depths.length) {
    throw new PolicyError(
      "policy-exits",
      `createPolicy: ${list.length} thresholds for ${heads.depths.length} heads; give one for each, or one for all`,
      { thresholds: list.length },
    );
  }
  return checkPolicy({
    format: "early-exits/policy",
    version: 1,
    score,
    fill,
    ...(lazyLimit !== undefined && { lazyLimit }),
    exits: heads.depths.map((depth, i) => ({ depth, threshold: list[i]! })),
  });
}

/** Checks parsed JSON; throws a PolicyError that says what is wrong. */
export function checkPolicy(json: unknown): Policy {
  const policy = json as Partial<Policy> | null;
  if (typeof policy !== "object" || policy?.format !== "early-exits/policy") {
    throw new PolicyError("policy-format", 'policy: expected {"format": "early-exits/policy", …}');
  }
  if (policy.version !== (1 as number)) {
    throw new PolicyError(
      "policy-version",
      `policy: version ${JSON.stringify(policy.version)} is not supported, only 1; update the library`,
      { version: policy.version },
    );
  }
  checkScoreName(policy.score);
  const fill = checkFill(policy.fill);
  const { lazyLimit } = policy;
  if (lazyLimit !== undefined && (fill !== "lazy" || !Number.isInteger(lazyLimit) || lazyLimit < 1)) {
    throw new PolicyError(
      "policy-lazy-limit",
      `policy: lazyLimit ${JSON.stringify(lazyLimit)} with fill ${fill}; it bounds the backlog of lazy, by an ` +
        "integer from 1",
      { lazyLimit, fill },
    );
  }
  const exits = policy.exits as readonly (Partial<PolicyExit> | null)[] | undefined;
  if (!Array.isArray(exits) || exits.length === 0) {
    throw new PolicyError("policy-exits", "policy: expected a list of exits, found none");
  }
  exits.forEach((exit: Partial<PolicyExit> | null, i) => {
    const before = i === 0 ? 0 : (exits[i - 1] as PolicyExit).depth;
    const threshold = exit?.threshold;
    const legal =
      Number.isInteger(exit?.depth) &&
      exit!.depth! > before &&
      (threshold === "always" ||
        threshold === "never" ||
        (typeof threshold === "number" && Number.isFinite(threshold)));
    if (!legal) {
      throw new PolicyError(
        "policy-exits",
        `policy: exit ${i} is ${JSON.stringify(exit)}; expected an ascending integer depth and a threshold ` +
          `that is a number, "always" or "never"`,
        { exit: i },
      );
    }
  });
  const certified = policy.certified as Partial<CertifiedFor> | null | undefined;
  if (certified !== undefined && !Array.isArray(certified?.thresholds)) {
    throw new PolicyError(
      "policy-certified",
      "policy: certified should say claim, agreement, score, thresholds, fill and dtype",
      { certified },
    );
  }
  return policy as Policy;
}

/**
 * Throws a PolicyError unless the policy fits these heads: the same depths, the same model and heads where it names
 * them, and all that was certified.
 */
export async function requirePolicyFor(heads: ExitHeads, policy: Policy): Promise<void> {
  checkPolicy(policy);
  requireFillFor(heads, policy.fill);
  const depths = policy.exits.map(({ depth }) => depth);
  if (depths.join() !== heads.depths.join()) {
    throw new PolicyError(
      "policy-depths",
      `policy: it has exits at depths ${depths.join(", ")}, the heads are at ${heads.depths.join(", ")}; use ` +
        "the heads it was calibrated for",
      { policy: depths, heads: heads.depths },
    );
  }
  if (policy.modelHash !== undefined && policy.modelHash !== (await heads.model.hash())) {
    throw new PolicyError("policy-model", "policy: it was calibrated for another model; calibrate again", {
      modelHash: policy.modelHash,
    });
  }
  if (policy.headsHash !== undefined && policy.headsHash !== (await heads.hash())) {
    throw new PolicyError(
      "policy-heads",
      "policy: it was calibrated for other heads (or they were trained since); calibrate again",
      { headsHash: policy.headsHash },
    );
  }
  if (!heads.scores.includes(policy.score)) {
    throw new PolicyError(
      "policy-score",
      `policy: its score is ${policy.score}, but the heads have no gates; train some (trainGates), or choose ` +
        "another score",
      { score: policy.score },
    );
  }
  requireAsCertified(policy, heads.model.dtype);
}

/** The policy with another fill, without the promise that was made for the one it had. */
export function withFill(policy: Policy, fill: FillName): Policy {
  if (fill === policy.fill) return policy;
  const copy: { -readonly [Key in keyof Policy]: Policy[Key] } = { ...policy, fill };
  delete copy.certified;
  return copy;
}

function requireAsCertified({ certified, score, fill, exits }: Policy, dtype: WeightDtype): void {
  if (certified === undefined) return;
  const remedy = 'certify it as it is, or leave "certified" out to use it without a promise';
  if (fill !== certified.fill) {
    throw new PolicyError(
      "policy-fill",
      `policy: it was certified with fill ${certified.fill}, now it says ${fill}, which may change other ` +
        `tokens; ${remedy}`,
      { certified: certified.fill, found: fill },
    );
  }
  if (dtype !== certified.dtype) {
    throw new PolicyError(
      "policy-dtype",
      `policy: it was certified for weights stored as ${certified.dtype}, the model's are ${dtype}; load the ` +
        `model that way, or ${remedy}`,
      { certified: certified.dtype, found: dtype },
    );
  }
  const thresholds = exits.map(({ threshold }) => threshold);
  if (score !== certified.score || JSON.stringify(thresholds) !== JSON.stringify(certified.thresholds)) {
    throw new PolicyError(
      "policy-thresholds",
      `policy: it was certified with ${certified.score} thresholds ${certified.thresholds.join(", ")}, now it ` +
        `has ${score} ${thresholds.join(", ")}; ${remedy}`,
      { certified: certified.thresholds, found: thresholds },
    );
  }
}
