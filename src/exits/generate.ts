/**
 * The public `generate`: from a model, or from heads and a policy. Without a policy it is the plain backbone, the same function, so
 * "exits off" is trivially comparable.
 */
import { PolicyError } from "../errors.js";
import { type Decoder, type GenerateOptions as PlainOptions, type Generation as PlainGeneration, type GenerateSummary as PlainSummary, generateWith, plainDecoder, type Sampler } from "../model/generate.js";
import type { Model } from "../model/model.js";
import { type DecodeListeners, earlyExitDecoder } from "./decode.js";
import { ExitHeads } from "./heads.js";
import { Ledger, type LedgerReport } from "./ledger.js";
import type { DecodeObserver } from "./observe.js";
import { type Policy, requirePolicyFor } from "./policy.js";

export interface GenerateOptions extends PlainOptions {
  /** Leave early as it says; the plain backbone where absent. Needs heads. */
  readonly policy?: Policy;
  /** Told what happens at every exit; may set the thresholds. Needs a policy. */
  readonly observer?: DecodeObserver;
}

export interface GenerateSummary extends PlainSummary {
  /** What decoding did, counted as it ran, beside plain decoding. */
  readonly ledger: LedgerReport;
}

/** The stream of tokens; iterate it once. `summary` is there after the last token. */
export interface Generation extends PlainGeneration {
  readonly summary: GenerateSummary;
}

/**
 * Generates text after a prompt (text or token ids). Iterate the result for tokens; read `.summary` afterwards.
 * Throws an OptionError or TokenError for an illegal prompt or option, and (from the iterator) a PolicyError where the policy was made
 * for other heads.
 */
export function generate(source: Model | ExitHeads, prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
  const { policy, observer } = options;
  if (observer !== undefined && policy === undefined) throw new PolicyError("observer-policy", "generate: an observer needs a policy, without which no exit is evaluated; pass one");
  if (!(source instanceof ExitHeads) && policy !== undefined) throw new PolicyError("policy-heads", "generate: a policy needs exit heads; pass the heads instead of the model");
  const [model, ledger] = [source instanceof ExitHeads ? source.model : source, new Ledger(source)];
  const generation = generateWith(model, prompt, options, (sampler) =>
    source instanceof ExitHeads && policy !== undefined ? checkedDecoder(source, policy, sampler, { observer, ledger }) : plainDecoder(model, sampler, ledger));
  let summary: GenerateSummary | undefined;
  return {
    [Symbol.asyncIterator]: () => generation[Symbol.asyncIterator](),
    get summary() {
      return (summary ??= { ...generation.summary, ledger: ledger.report([generation.summary]) });
    },
  };
}

/** Checks the policy and packs the heads before the first token. */
function checkedDecoder(heads: ExitHeads, policy: Policy, sampler: Sampler, listeners: DecodeListeners): Decoder {
  const decoder = earlyExitDecoder(heads, policy, sampler, listeners);
  return {
    ...decoder,
    async prepare() {
      await requirePolicyFor(heads, policy);
      await heads.freeze();
    },
  };
}
