/**
 * Ways in which a server answers. Each is one decoder for all texts of its mode; a text's mode never changes, so its
 * tokens are those of one call of `generate`.
 */
import type { Audit } from "early-exits/calibrate";
import {
  createDecoder,
  type ExitHeads,
  type GenerateOptions,
  type Policy,
  PolicyError,
  requirePromise,
} from "early-exits/exits";
import type { Decoder, Model, SamplingOptions } from "early-exits/model";
import { ServeError } from "./serve-error.js";

/**
 * plain: all blocks for every token; exits: tokens leave early by the policy; lossless: repetitions and a look-ahead
 * head draft, or exits, and the full model verifies.
 */
export const servingModes = ["plain", "exits", "lossless"] as const;
export type ServingMode = (typeof servingModes)[number];

/** Policies of the modes beside `plain`. */
export interface ServedWays {
  /** The policy of the mode `exits`. @default none, and the mode is refused */
  readonly policy?: Policy;
  /**
   * The policy whose exits draft in the mode `lossless` where nothing is repeated, or "ahead" for none: the heads'
   * look-ahead head drafts there if they have one.
   * @default none, and the mode is refused
   */
  readonly drafting?: Policy | "ahead";
}

type WayOptions = Pick<GenerateOptions, "lossless"> & Pick<ServedWays, "policy">;

/** Throws a PolicyError if the server has no such mode. */
export function optionsOf(mode: ServingMode, { policy, drafting }: ServedWays): WayOptions {
  if (mode === "plain") return {};
  if (mode === "exits" && policy !== undefined) return { policy };
  if (mode === "lossless" && drafting !== undefined) {
    return drafting === "ahead" ? { lossless: true } : { policy: drafting, lossless: true };
  }
  const missing = mode === "exits" ? "policy" : "drafting";
  throw new PolicyError(
    "serve-mode",
    `serve: mode "${mode}" was asked for, but the batcher was made without ${missing}; pass one, or ask for "plain"`,
    { mode },
  );
}

export function decodersOf(source: Model | ExitHeads, ways: ServedWays): ReadonlyMap<ServingMode, Decoder> {
  const decoders = new Map<ServingMode, Decoder>([["plain", createDecoder(source)]]);
  if (ways.policy !== undefined) decoders.set("exits", createDecoder(source, optionsOf("exits", ways)));
  if (ways.drafting !== undefined) decoders.set("lossless", createDecoder(source, optionsOf("lossless", ways)));
  return decoders;
}

export interface ModeRules {
  readonly policy?: Policy | undefined;
  readonly audit?: Audit | undefined;
  /** Mode where exits may not be used. */
  readonly otherwise: "plain" | "lossless";
}

interface ModeWish {
  readonly mode?: ServingMode | undefined;
  readonly sampling: SamplingOptions;
  /** Lossless text has no log-probabilities. */
  readonly logprobs: boolean;
}

/**
 * Mode of an answer: as the request asks, else exits if the policy may be used with its sampling settings, else as the
 * server was told. After the audit's alarm nothing is answered by exits; a text that is being written keeps its mode.
 */
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
