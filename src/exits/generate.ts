/**
 * The public `generate`: from a model, or from heads and a policy. Without a policy it is the plain backbone, the same function, so
 * "exits off" is trivially comparable.
 */
import { PolicyError } from "../errors.js";
import { type Decoder, type GenerateOptions as PlainOptions, type Generation, generateWith, plainDecoder, type Sampler } from "../model/generate.js";
import type { Model } from "../model/model.js";
import { earlyExitDecoder } from "./decode.js";
import { ExitHeads } from "./heads.js";
import type { DecodeObserver } from "./observe.js";
import { type Policy, requirePolicyFor } from "./policy.js";

export interface GenerateOptions extends PlainOptions {
  /** Leave early as it says; the plain backbone where absent. Needs heads. */
  readonly policy?: Policy;
  /** Told what happens at every exit; may set the thresholds. Needs a policy. */
  readonly observer?: DecodeObserver;
}

/**
 * Generates text after a prompt (text or token ids). Iterate the result for tokens; read `.summary` afterwards.
 * Throws an OptionError or TokenError for an illegal prompt or option, and (from the iterator) a PolicyError where the policy was made
 * for other heads.
 */
export function generate(source: Model | ExitHeads, prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
  const { policy, observer } = options;
  if (observer !== undefined && policy === undefined) throw new PolicyError("observer-policy", "generate: an observer needs a policy, without which no exit is evaluated; pass one");
  if (!(source instanceof ExitHeads)) {
    if (policy !== undefined) throw new PolicyError("policy-heads", "generate: a policy needs exit heads; pass the heads instead of the model");
    return generateWith(source, prompt, options, (sampler) => plainDecoder(source, sampler));
  }
  const { model } = source;
  return generateWith(model, prompt, options, (sampler) => (policy === undefined ? plainDecoder(model, sampler) : checkedDecoder(source, policy, sampler, observer)));
}

/** Checks the policy and packs the heads before the first token. */
function checkedDecoder(heads: ExitHeads, policy: Policy, sampler: Sampler, observer: DecodeObserver | undefined): Decoder {
  const decoder = earlyExitDecoder(heads, policy, sampler, observer);
  return {
    async prepare() {
      await requirePolicyFor(heads, policy);
      await heads.freeze();
    },
    nextToken: (sequence) => decoder.nextToken(sequence),
  };
}
