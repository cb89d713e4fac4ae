/**
 * A policy: a score, a threshold for every exit, and the fill. Plain, JSON-able data, bound to a model and its heads.
 * Thresholds are raw scores (see heads/score.ts); "always" and "never" are written out, because JSON has no infinity.
 */
import { PolicyError } from "../../errors.js";
import { allNames, requireKnown } from "../../known.js";
import type { SamplingOptions } from "../../model/decode/sampling.js";
import type { StoredAs } from "../../model/index.js";
import { shown } from "../../shown.js";
import { checkScoreName, type ScoreName, type Threshold } from "../heads/score.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { checkFill, type FillName, requireFillFor } from "../fill/fill.js";

export interface PolicyExit {
  /** Blocks run. */
  readonly depth: number;
  readonly threshold: Threshold;
}

/** Every sampling option, spelled out. */
export type CertifiedSampling = Required<SamplingOptions>;

/** The full model that a policy is compared with. */
export interface Reference {
  /** same: the model that the policy runs on. other: its weights stored in another way, or another checkpoint. */
  readonly kind: "same" | "other";
  readonly dtype: StoredAs;
  /** SHA-256 of its checkpoint (`Model.hash`). */
  readonly checkpoint: string;
}

/** Losses of answers, which two ways gave to one prompt; `own`: a function of whoever calibrated. */
export const answerLosses = ["changed", "rougeL", "accuracy", "worse"] as const;
export type AnswerLossName = (typeof answerLosses)[number] | "own";
export type CertifiedLoss = "token" | "totalVariation" | "anyChange" | AnswerLossName;

/** The terms under which a policy was certified. One changed since, or with weights stored otherwise, has none. */
export interface CertifiedFor {
  readonly sampling: CertifiedSampling;
  readonly reference: Reference;
  readonly loss: CertifiedLoss;
  readonly agreement: number;
  readonly score: ScoreName;
  readonly thresholds: readonly Threshold[];
  readonly fill: FillName;
  /** Weight matrices, and the KV cache unless that is float32. */
  readonly dtype: StoredAs;
  /** Tokens up to which texts were judged; absent from early certificates, which say it elsewhere. */
  readonly length?: number;
  /** New tokens of a text up to which it was judged. Not in the file: it follows from the documents. */
  readonly newTokens?: number;
  /** Texts of the calibration, in the words of whoever chose them: the promise is about such texts. */
  readonly population?: string;
  /** Nothing could be certified, not even to run all blocks: there is no promise. */
  readonly impossible?: true;
}

export interface Policy {
  readonly format: "early-exits/policy";
  readonly version: 1;
  readonly score: ScoreName;
  /** One for every head, ascending by depth. */
  readonly exits: readonly PolicyExit[];
  readonly fill: FillName;
  /** The agreement asked for in calibration. */
  readonly agreement?: number;
  /** SHA-256 of the model; absent from a policy written by hand, which is not bound. */
  readonly modelHash?: string;
  /** SHA-256 of the heads. */
  readonly headsHash?: string;
  /** Believed only of a policy that came out of a certificate here, unchanged (`certifiedTerms`). */
  readonly certified?: CertifiedFor;
}

/** A certificate, of which only the policy runs. */
export interface PolicyHolder {
  readonly format: "early-exits/certificate";
  readonly policy: Policy;
}

/** Policies whose certificates were made or checked by this program: the text of each then, and its terms. */
const registered = new WeakMap<Policy, { readonly text: string; readonly terms: CertifiedFor | undefined }>();

/** Notes that a certificate holds this policy, with terms that follow from the certificate, and returns it. */
export function registerCertified(policy: Policy, terms: Partial<CertifiedFor> = {}): Policy {
  registered.set(policy, {
    text: JSON.stringify(policy),
    terms: policy.certified && { ...policy.certified, ...terms },
  });
  return policy;
}

/**
 * The terms of a policy's certificate that was made or checked by this program; undefined if there was none, or the
 * policy is a copy or has changed since. What a policy says of itself anyone can write.
 */
export function certifiedTerms(policy: Policy): CertifiedFor | undefined {
  const { text, terms } = registered.get(policy) ?? {};
  return text === JSON.stringify(policy) ? terms : undefined;
}

/**
 * The policy itself, or that of a certificate. Throws a PolicyError ("certificate-unopened") for a certificate whose
 * seal this program has not checked.
 */
export function policyIn(given: Policy | PolicyHolder | undefined): Policy | undefined {
  if (given?.format !== "early-exits/certificate") return given;
  if (certifiedTerms(given.policy) !== undefined) return given.policy;
  throw new PolicyError(
    "certificate-unopened",
    "policy: this certificate was read but not opened, or has changed since, so its seal is not checked; open it " +
      "with checkCertificate(json), or its file with readPolicy(path)",
  );
}

export interface PolicyOptions {
  /** @default "entropy"; "margin" if the heads have no entropy */
  readonly score?: ScoreName;
  /** @default "lazy" */
  readonly fill?: FillName;
}

const policyOptionNames = allNames<PolicyOptions>()("score", "fill");

/**
 * One threshold for each head or one for all.
 *
 * @example
 * ```ts
 * import { createPolicy } from "early-exits";
 * import { readHeads, readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const heads = await readHeads("node_modules/early-exits/models/sotu-12/heads", model);
 * const policy = createPolicy(heads, ["never", 1.5], { score: "margin", fill: "shared" });
 * console.log(policy.exits.map(({ depth, threshold }) => `${depth}: ${threshold}`).join(", ")); // 3: never, 6: 1.5
 * ```
 */
export function createPolicy(
  heads: ExitHeads,
  thresholds: Threshold | readonly Threshold[],
  options: PolicyOptions = {},
): Policy {
  requireKnown("createPolicy", options, policyOptionNames);
  const { score = heads.scores.includes("entropy") ? "entropy" : "margin", fill = "lazy" } = options;
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
    exits: heads.depths.map((depth, i) => ({ depth, threshold: list[i]! })),
  });
}

/** Throws a PolicyError that says what is wrong. */
export function checkPolicy(json: unknown): Policy {
  const policy = json as Partial<Policy> | null;
  if (typeof policy !== "object" || policy?.format !== "early-exits/policy") {
    throw new PolicyError(
      "policy-format",
      `policy: expected {"format": "early-exits/policy", …}, found ${shown(json)}; readPolicy reads a file or a folder`,
    );
  }
  if (policy.version !== (1 as number)) {
    throw new PolicyError(
      "policy-version",
      `policy: version ${JSON.stringify(policy.version)} is not supported, only 1; update the library`,
      { version: policy.version },
    );
  }
  checkScoreName(policy.score);
  checkFill(policy.fill);
  const exits = policy.exits as readonly unknown[] | undefined;
  if (!Array.isArray(exits) || exits.length === 0) {
    throw new PolicyError("policy-exits", "policy: expected a list of exits, found none");
  }
  let before = 0;
  for (const [i, exit] of exits.entries()) {
    if (!isExit(exit) || exit.depth <= before) {
      throw new PolicyError(
        "policy-exits",
        `policy: exit ${i} is ${JSON.stringify(exit)}; expected an ascending integer depth and a threshold that is ` +
          'a number, "always" or "never"',
        { exit: i },
      );
    }
    before = exit.depth;
  }
  return policy as Policy;
}

function isExit(exit: unknown): exit is PolicyExit {
  const { depth, threshold } = (exit ?? {}) as Partial<PolicyExit>;
  return Number.isInteger(depth) && (threshold === "always" || threshold === "never" || Number.isFinite(threshold));
}

/**
 * Throws a PolicyError unless the policy fits these heads: the same depths; the same model and heads, if named; and
 * weights stored as its certificate says, if it has one.
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
      "policy: it was calibrated for other heads, or these were trained since; calibrate again",
      { headsHash: policy.headsHash },
    );
  }
  if (!heads.scores.includes(policy.score)) {
    throw new PolicyError(
      "policy-score",
      `policy: its score is ${policy.score}, which these heads do not have; choose one of ${heads.scores.join(", ")}`,
      { score: policy.score },
    );
  }
  const dtype = certifiedTerms(policy)?.dtype;
  const found = heads.model.storedAs;
  if (dtype === undefined || dtype === found) return;
  throw new PolicyError(
    "policy-dtype",
    `policy: it was certified for weights stored as ${dtype}, but the model's are ${found}; load the model as ` +
      `${dtype}, certify it as it is, or leave "certified" out to use it without a guarantee`,
    { certified: dtype, found },
  );
}
