/**
 * Ways in which a server answers. Each is one decoder for all texts of its mode; a text's mode never changes, so its
 * tokens are those of one call of `generate`.
 */
import { createDecoder, type ExitHeads, type GenerateOptions, type Policy, PolicyError } from "early-exits/exits";
import type { Decoder, Model } from "early-exits/model";

/**
 * plain: all blocks for every token; exits: tokens leave early by the policy; lossless: exits draft, and the full model
 * verifies.
 */
export const servingModes = ["plain", "exits", "lossless"] as const;
export type ServingMode = (typeof servingModes)[number];

/** Policies of the modes beside `plain`. */
export interface ServedWays {
  /** The policy of the mode `exits`. @default none, and the mode is refused */
  readonly policy?: Policy;
  /** The policy whose exits draft in the mode `lossless`. @default none, and the mode is refused */
  readonly drafting?: Policy;
}

/** Throws a PolicyError if the server has no such mode. */
export function optionsOf(mode: ServingMode, { policy, drafting }: ServedWays): GenerateOptions {
  if (mode === "plain") return {};
  if (mode === "exits" && policy !== undefined) return { policy };
  if (mode === "lossless" && drafting !== undefined) return { policy: drafting, lossless: true };
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
