/**
 * The reference model that tokens are compared with, and the loss.
 *   greedy    1 if the argmax differs from the reference's, else 0
 *   sampled   the total variation between the two distributions after the same processors, on the same prefix, in units
 *             of 2^-20 (model/decode/total-variation.ts)
 * The reference is the full model itself, or its weights stored in another way (float32 beside int8). Against another
 * one, tokens that run all blocks have a loss too.
 */
import { OptionError } from "../../errors.js";
import type { CertifiedSampling } from "../../exits/plan/policy.js";
import { argmaxOf, canonicalSampling, isPlainGreedy, type SamplingOptions } from "../../model/decode/sampling.js";
import { LOSS_UNIT, totalVariation } from "../../model/decode/total-variation.js";
import type { Model } from "../../model/index.js";

export interface JudgeOptions {
  /** Sampling settings of the policy and the reference. @default greedy */
  readonly sampling?: SamplingOptions | undefined;
  /** The model whose tokens are right, with the same vocabulary. @default the heads' own */
  readonly against?: Model | undefined;
}

export interface Judge {
  readonly sampling: CertifiedSampling;
  /** Tokens are the argmax of unprocessed logits. */
  readonly greedy: boolean;
  /** Count of a token that certainly differs: 1, or 2^20 for total variations. */
  readonly lossScale: number;
  readonly reference: Model;
  /** The reference is not the model that runs. */
  readonly other: boolean;
}

/** Throws an OptionError for illegal settings, or another vocabulary. */
export function createJudge(model: Model, { sampling, against = model }: JudgeOptions): Judge {
  const { vocabSize } = model.config;
  if (against.config.vocabSize !== vocabSize) {
    throw new OptionError(
      "reference-vocabulary",
      `calibrate: the model to agree with has ${against.config.vocabSize} tokens, the one that runs has ` +
        `${vocabSize}; ` +
        "give one with the same vocabulary, such as the same checkpoint as float32",
      { reference: against.config.vocabSize, model: vocabSize },
    );
  }
  const settings = canonicalSampling(sampling);
  return {
    sampling: settings,
    greedy: isPlainGreedy(settings),
    lossScale: lossScaleOf(settings),
    reference: against,
    other: against !== model,
  };
}

export function lossScaleOf({ temperature = 0 }: SamplingOptions = {}): number {
  return temperature === 0 ? 1 : LOSS_UNIT;
}

/** The loss of a token drawn from q where p is right, in 1 / lossScale. */
export function lossOf({ lossScale }: Judge, p: Float64Array, q: Float64Array): number {
  return lossScale === 1 ? Number(argmaxOf(p) !== argmaxOf(q)) : totalVariation(p, q);
}
