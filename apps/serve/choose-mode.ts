/**
 * Mode of an answer: as the request asks, else exits if the policy may be used with its sampling settings, else as the
 * server was told. After the audit's alarm nothing is answered by exits; a text that is being written keeps its mode.
 */
import type { Audit } from "early-exits/calibrate";
import { type Policy, PolicyError, requirePromise } from "early-exits/exits";
import type { SamplingOptions } from "early-exits/model";
import { ServeError } from "./serve-error.js";
import type { ServingMode } from "./ways.js";

export interface ModeRules {
  readonly policy?: Policy | undefined;
  readonly audit?: Audit | undefined;
  /** Mode where exits may not be used. */
  readonly otherwise: "plain" | "lossless";
}

export interface ModeWish {
  readonly mode?: ServingMode | undefined;
  readonly sampling: SamplingOptions;
  /** Lossless text has no log-probabilities. */
  readonly logprobs: boolean;
}

export function chooseMode(
  { policy, audit, otherwise }: ModeRules,
  { mode, sampling, logprobs }: ModeWish,
): ServingMode {
  const alarmed = audit?.state.alarm.raised ?? false;
  if (mode === "exits" && alarmed) {
    throw new ServeError(
      "serve-alarm",
      'serve: the audit\'s alarm has turned exits off; ask for the mode "plain" or "lossless"',
    );
  }
  if (mode !== undefined) return mode;
  if (policy !== undefined && !alarmed && isFor(policy, sampling)) return "exits";
  return logprobs ? "plain" : otherwise;
}

/** True without a certificate, or if it is for these settings. */
export function isFor(policy: Policy, sampling: SamplingOptions): boolean {
  try {
    requirePromise(policy, sampling);
    return true;
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
}
