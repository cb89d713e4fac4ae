/**
 * The promise for generated text:
 *   plain      no policy: the full model wrote it
 *   lossless   exits only drafted: exactly the full model's tokens, or its distribution if sampled
 *   certified  the policy ran as its certificate says, with the sampling settings that it is for
 *   none       nothing is promised, for the reason given
 * A certificate for other settings says nothing: at temperature 1, policies certified to keep 95 % of greedy tokens are
 * a mean total variation of 0.158 away from the full model. So `generate` refuses them unless told not to.
 */
import { PolicyError } from "../errors.js";
import { canonicalSampling, describeSampling, sameSampling, type SamplingOptions } from "../model/decode/sampling.js";
import {
  type CertifiedFor,
  type CertifiedSampling,
  certifiedTerms,
  type Policy,
  type Reference,
} from "./plan/policy.js";

/** The reason why nothing is promised. */
export type NoPromise =
  /** The policy has no certificate. */
  | "uncertified"
  /** It claims one that was not opened here, or has changed since. */
  | "unchecked"
  /** Nothing could be certified, not even to run all blocks. */
  | "impossible"
  /** The certificate is for other sampling settings. */
  | "sampling"
  /** An observer set thresholds of its own. */
  | "observer";

export type DecodingPromise =
  | { readonly kind: "plain" }
  | { readonly kind: "lossless" }
  | {
      readonly kind: "certified";
      readonly loss: CertifiedFor["loss"];
      readonly agreement: number;
      readonly sampling: CertifiedSampling;
      readonly reference: Reference;
      /** Tokens of a text, prompt included, up to which the certificate speaks; absent if the policy does not know. */
      readonly length?: number;
      /** Texts that it speaks of, if its maker said so. */
      readonly population?: string;
      /** New tokens past it, or past those judged of a text, for which nothing is promised; with `length`. */
      readonly beyond?: number;
    }
  | { readonly kind: "none"; readonly reason: NoPromise };

/** Everything that a promise depends on. */
interface DecodingTerms {
  readonly policy: Policy | undefined;
  readonly lossless: boolean;
  readonly sampling: SamplingOptions;
  /** An observer has set thresholds. */
  readonly observed: boolean;
  readonly texts?: readonly { readonly promptTokens: number; readonly newTokens: number }[];
}

export function promiseOf({ policy, lossless, sampling, observed, texts = [] }: DecodingTerms): DecodingPromise {
  if (lossless) return { kind: "lossless" };
  if (policy === undefined) return { kind: "plain" };
  const certified = certifiedTerms(policy);
  if (certified === undefined) {
    return { kind: "none", reason: policy.certified === undefined ? "uncertified" : "unchecked" };
  }
  const reason = withoutPromise(certified, sampling) ?? (observed ? "observer" : undefined);
  if (reason !== undefined) return { kind: "none", reason };
  const { loss, agreement, reference, length, newTokens: judged = Infinity, population } = certified;
  const promise = {
    kind: "certified" as const,
    loss,
    agreement,
    sampling: certified.sampling,
    reference,
    ...(population !== undefined && { population }),
  };
  if (length === undefined) return promise;
  const beyond = texts.map(({ promptTokens, newTokens }) =>
    Math.max(0, newTokens - Math.min(judged, Math.max(0, length - promptTokens))),
  );
  return { ...promise, length, beyond: beyond.reduce((sum, tokens) => sum + tokens, 0) };
}

/** Undefined if something is promised for these settings. */
function withoutPromise(certified: CertifiedFor, sampling: SamplingOptions): NoPromise | undefined {
  if (certified.impossible === true) return "impossible";
  return sameSampling(certified.sampling, sampling) ? undefined : "sampling";
}

/**
 * Throws a PolicyError for a certificate for other settings, or one that promises nothing. A policy without a
 * certificate passes: it promises nothing anyway.
 */
export function requirePromise(policy: Policy, sampling: SamplingOptions): void {
  const certified = certifiedTerms(policy);
  const reason = certified && withoutPromise(certified, sampling);
  if (certified === undefined || reason === undefined) return;
  if (reason === "impossible") {
    const { reference, agreement, dtype } = certified;
    throw new PolicyError(
      "policy-impossible",
      `generate: against the ${reference.dtype} model nothing could be certified at ${agreement}, ` +
        `not even to run all blocks as ${dtype}; ask for less agreement, load the model as ` +
        `${reference.dtype}, or pass allowUncertified: true (--allow-uncertified) to use it without a promise`,
      { reference, agreement },
    );
  }
  const asked = canonicalSampling(sampling);
  throw new PolicyError(
    "policy-sampling",
    `generate: the policy is certified for text by ${describeSampling(certified.sampling)}, and asked for is ` +
      `${describeSampling(asked)}, about which the certificate says nothing; certify for it (calibrate, sampling: ` +
      `${optionText(asked)}, or ${commandLine(asked)}), or pass allowUncertified: true (--allow-uncertified)`,
    { certified: certified.sampling, asked },
  );
}

function changedSettings(sampling: CertifiedSampling): [string, number][] {
  const defaults = canonicalSampling({});
  return Object.entries(sampling).filter(([name, value]) => value !== defaults[name as keyof CertifiedSampling]);
}

function optionText(sampling: CertifiedSampling): string {
  const settings = changedSettings(sampling).map(([name, value]) => `${name}: ${value}`);
  return settings.length === 0 ? "{}" : `{ ${settings.join(", ")} }`;
}

function commandLine(sampling: CertifiedSampling): string {
  const flags = changedSettings(sampling).map(
    ([name, value]) => ` --${name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`)} ${value}`,
  );
  return `early-exits calibrate${flags.join("")}`;
}
