/**
 * The public `generate`: from a model, or from heads and a policy. Without a policy it is the plain backbone, the same
 * function, so "exits off" is trivially comparable. With a policy exits are taken (lossy), or with `lossless` they
 * draft what the full model verifies.
 */
import { OptionError, PolicyError } from "../errors.js";
import {
  type BatchGeneration as PlainBatch,
  type BatchOptions,
  type Decoder,
  generateBatchWith,
  type GenerateOptions as PlainOptions,
  type Generation as PlainGeneration,
  plainDecoder,
  type TextSummary,
} from "../model/decode/index.js";
import type { Model } from "../model/index.js";
import { type DecodeListeners, type DecodeObserver, earlyExitDecoder, leaveEarly } from "./decode/index.js";
import {
  type Drafter,
  type DraftLengthOptions,
  draftPlans,
  firstOf,
  losslessDecoder,
  promptLookupDrafter,
  type PromptLookupOptions,
} from "./draft/index.js";
import { ExitHeads } from "./heads/index.js";
import { countedCosts, Ledger, type LedgerReport } from "./cost/index.js";
import { type Policy, requirePolicyFor } from "./plan/index.js";

export interface LosslessOptions extends DraftLengthOptions {
  /**
   * Draft by looking up repeated text: alone it needs neither heads nor policy; with a policy, exits draft where
   * nothing is found.
   */
  readonly promptLookup?: PromptLookupOptions;
}

/** Options of plain generation, and how exits take part. */
export interface GenerateOptions extends PlainOptions {
  /** Leave early as it says; the plain backbone where absent. Needs heads. */
  readonly policy?: Policy;
  /**
   * Exactly the full model's tokens (its distribution, when sampling): exits only draft, with the policy's thresholds,
   * and the full model verifies. The policy's `fill` plays no part. Only verified tokens are streamed. @default false
   */
  readonly lossless?: boolean | LosslessOptions;
  /** Told what happens at every exit; may set the thresholds. Needs a policy. */
  readonly observer?: DecodeObserver;
}

export interface GenerateSummary extends TextSummary {
  /** What decoding did, counted as it ran, beside plain decoding. */
  readonly ledger: LedgerReport;
}

/** The stream of tokens; iterate it once. `summary` is there after the last token. */
export interface Generation extends PlainGeneration {
  readonly summary: GenerateSummary;
}

/**
 * The tokens of all texts as they come; iterate it once. The ledger is of all of them together: they share reading the
 * weights.
 */
export interface BatchGeneration extends PlainBatch {
  readonly ledger: LedgerReport;
}

/**
 * Generates text after a prompt (text or token ids). Iterate the result for tokens; read `.summary` afterwards.
 * Throws an OptionError or TokenError for an illegal prompt or option, and (from the iterator) a PolicyError where the
 * policy was made for other heads.
 */
export function generate(
  source: Model | ExitHeads,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): Generation {
  const batch = generateBatch(source, [prompt], options);
  let summary: GenerateSummary | undefined;
  return {
    [Symbol.asyncIterator]: () => batch[Symbol.asyncIterator](),
    get summary() {
      return (summary ??= { ...batch.summaries[0]!, ledger: batch.ledger });
    },
  };
}

/**
 * Generates a text after every prompt, several at a time, each at its own depth and length. Every text has the tokens
 * that `generate` gives it alone, with seed + i for prompt i. Tokens carry the index of their prompt. An observer hears
 * of all of them.
 */
export function generateBatch(
  source: Model | ExitHeads,
  prompts: readonly (string | readonly number[])[],
  options: GenerateOptions & BatchOptions = {},
): BatchGeneration {
  const ledger = new Ledger(source);
  const batch = generateBatchWith(
    modelOf(source),
    prompts,
    options,
    decoderFor(source, options, { observer: options.observer, ledger }),
  );
  return {
    [Symbol.asyncIterator]: () => batch[Symbol.asyncIterator](),
    get summaries() {
      return batch.summaries;
    },
    get ledger() {
      return ledger.report(batch.summaries);
    },
  };
}

function modelOf(source: Model | ExitHeads): Model {
  return source instanceof ExitHeads ? source.model : source;
}

/** The decoder that options ask for. Throws where they contradict each other. */
export function decoderFor(
  source: Model | ExitHeads,
  { policy, lossless = false }: GenerateOptions,
  listeners: DecodeListeners,
): Decoder {
  const model = modelOf(source);
  const heads = source instanceof ExitHeads ? source : undefined;
  if (listeners.observer !== undefined && policy === undefined) {
    throw new PolicyError(
      "observer-policy",
      "generate: an observer needs a policy, without which no exit is evaluated; pass one",
    );
  }
  if (policy !== undefined && heads === undefined) {
    throw new PolicyError("policy-heads", "generate: a policy needs exit heads; pass the heads instead of the model");
  }
  if (lossless !== false) {
    const options = lossless === true ? {} : lossless;
    const { promptLookup, costs = countedCosts(model.config, heads) } = options;
    const lookup = promptLookup && promptLookupDrafter(promptLookup);
    if (policy === undefined || heads === undefined) {
      if (lookup === undefined) {
        throw new OptionError(
          "lossless-policy",
          "generate: lossless needs heads and a policy, whose exits draft; pass both, or lossless: { " +
            "promptLookup: {} }",
        );
      }
      return losslessDecoder(
        model,
        lookup,
        draftPlans(model.config.numLayers, { ...costs, heads: [], gates: undefined }, options),
        listeners,
      );
    }
    const exits: Drafter = (requests) => leaveEarly(heads, policy, requests, listeners);
    const used = (cost: number, exit: number): number => (policy.exits[exit]?.threshold === "never" ? 0 : cost);
    const asked = {
      ...costs,
      heads: costs.heads.map(used),
      gates: policy.score === "gate" ? costs.gates?.map(used) : undefined,
    };
    return prepared(
      heads,
      policy,
      losslessDecoder(
        model,
        lookup === undefined ? exits : firstOf(lookup, exits),
        draftPlans(model.config.numLayers, asked, options, heads.depths),
        listeners,
      ),
    );
  }
  return policy === undefined || heads === undefined
    ? plainDecoder(model, listeners.ledger, listeners.onLogits)
    : prepared(heads, policy, earlyExitDecoder(heads, policy, listeners));
}

/** Checks the policy and packs the heads before the first token. */
function prepared(heads: ExitHeads, policy: Policy, decoder: Decoder): Decoder {
  return {
    ...decoder,
    async prepare() {
      await requirePolicyFor(heads, policy);
      await heads.freeze();
    },
  };
}
