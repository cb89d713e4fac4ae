/**
 * Generates from a model, or from heads and a policy.
 *   no policy             the plain backbone
 *   policy                tokens leave at exits (lossy; decode/decode.ts)
 *   lossless              repetitions and a look-ahead head draft tokens (draft/look-ahead.ts), or exits if there is a
 *                         policy and no such head (draft/lossless-decoder.ts), and the full model verifies them
 */
import { OptionError, PolicyError } from "../errors.js";
import { allNames, requireKnown, requireList } from "../known.js";
import {
  type BatchGeneration as PlainBatch,
  type BatchOptions,
  generateBatchWith,
  type Generation as PlainGeneration,
} from "../model/decode/generate.js";
import { type Decoder, plainDecoder } from "../model/decode/decoder.js";
import type { GenerateOptions as PlainOptions } from "../model/decode/text.js";
import type { Prompt } from "../model/decode/prompt.js";
import type { SequenceStore } from "../model/decode/sequence-store.js";
import type { GeneratedToken, TextSummary } from "../model/decode/writer.js";
import type { Model } from "../model/index.js";
import { draftBesideExits } from "./draft/beside-exits.js";
import { earlyExitDecoder, leaveEarly } from "./decode/decode.js";
import type { DecodeEvent, DecodeListeners, DecodeObserver } from "./decode/observe.js";
import { aheadPlan } from "./draft/ahead-plan.js";
import { draftPlan } from "./draft/draft-plan.js";
import { type DraftingExits, drafterOf, type LookAhead } from "./draft/look-ahead.js";
import { losslessDecoder } from "./draft/lossless-decoder.js";
import { ExitHeads, modelOf } from "./heads/exit-heads.js";
import type { ExitHead } from "./heads/exit-head.js";
import { carefulCosts, costOfRows, countedCosts, type UnitCosts } from "./cost/unit-costs.js";
import { ledgerOf, type LedgerReport } from "./cost/ledger.js";
import { type Policy, type PolicyHolder, policyIn, requirePolicyFor } from "./plan/policy.js";
import { type DecodingPromise, promiseOf, requirePromise } from "./promise.js";

export interface LosslessOptions {
  /**
   * Costs that choose the length of drafts, in any one unit (`measureUnitTimes`).
   * @default multiply-adds, with a further row at 0.28 of the first; for drafts after all blocks, if the model is not
   * in float32, nor in int8 on a device with `byteDots`, at 0.7, so that a draft pays on every processor
   */
  readonly costs?: UnitCosts;
}

export interface GenerateOptions extends PlainOptions {
  /**
   * A policy, or a certificate with its policy (`readPolicy`, `calibrate`); needs heads.
   * @default all tokens are the plain backbone's
   */
  readonly policy?: Policy | PolicyHolder;
  /**
   * Yields exactly the full model's tokens (its distribution if sampled): others only draft, and the full model
   * verifies. Where the text repeats itself, what followed is drafted; elsewhere the heads' look-ahead head drafts, or,
   * if they have none and there is a policy, exits by its thresholds (its `fill` is not used).
   * @default false
   */
  readonly lossless?: boolean | LosslessOptions;
  /**
   * Lets repetitions, and the heads' look-ahead head if they have one, draft beside a policy's exits where that pays,
   * in a text that is written alone. The text stays the policy's, with its depths and scores; of drafts, the ledger
   * alone tells. @default true
   */
  readonly drafts?: boolean | LosslessOptions;
  /** Receives the events at exits; may set the thresholds, which voids the certificate's promise. Needs a policy. */
  readonly observer?: DecodeObserver;
  /**
   * Allows a certified policy with other sampling settings than its certificate's, or one for which nothing could be
   * certified; `summary.promise` then says that nothing is promised. @default false
   */
  readonly allowUncertified?: boolean;
}

export const generateOptionNames = allNames<GenerateOptions>()(
  "policy",
  "lossless",
  "drafts",
  "maxNewTokens",
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "seed",
  "stop",
  "stopAtEndOfText",
  "addSpecialTokens",
  "chat",
  "observer",
  "allowUncertified",
  "signal",
  "now",
);

export interface GenerateSummary extends TextSummary {
  readonly promise: DecodingPromise;
  readonly ledger: LedgerReport;
}

/**
 * The stream of tokens: iterate it once, or ask for the whole `text`. `summary` is available after the last token.
 */
export interface Generation extends PlainGeneration {
  readonly summary: GenerateSummary;
  /**
   * Writes all tokens and resolves to their text. Rejects with an OptionError if the iteration has begun, and with a
   * TokenError without a tokenizer.
   */
  text(): Promise<string>;
}

/**
 * The tokens of all texts as they arrive; iterate it once. All share one ledger, as they share the reading of weights.
 */
export interface BatchGeneration extends PlainBatch {
  readonly ledger: LedgerReport;
  /** What is promised of all texts, after the last token. */
  readonly promise: DecodingPromise;
}

/**
 * Generates text after a prompt: text, token ids or the messages of a conversation. Iterate the result for tokens, or
 * await its `text()`; read `.summary` afterwards. `sequences` opens and closes the text's sequence: a chat keeps one
 * across turns. Throws an OptionError or TokenError for an illegal prompt or option, a PolicyError for a certificate
 * that was not opened, and (from the iterator) one for a policy of other heads.
 *
 * @example
 * ```ts
 * import { generate } from "early-exits";
 * import { readHeads, readModel, readPolicy } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const heads = await readHeads("node_modules/early-exits/models/sotu-12/heads", model);
 * const policy = await readPolicy("node_modules/early-exits/models/sotu-12", { level: 0.9 });
 * const run = generate(heads, "The people of the United", { policy, maxNewTokens: 4 });
 * const depths: number[] = [];
 * for await (const { depth } of run) depths.push(depth);
 * console.log(JSON.stringify(run.summary.text), depths); // " States, and I" [ 3, 6, 3, 12 ]
 * ```
 */
export function generate(
  source: Model | ExitHeads,
  prompt: Prompt,
  options: GenerateOptions = {},
  sequences?: SequenceStore,
): Generation {
  const batch = generateBatch(source, [prompt], options, sequences);
  let summary: GenerateSummary | undefined;
  let begun = false;
  const begin = (): AsyncIterator<GeneratedToken> => {
    begun = true;
    return batch[Symbol.asyncIterator]();
  };
  return {
    [Symbol.asyncIterator]: begin,
    async text() {
      if (begun) {
        throw new OptionError(
          "text-begun",
          "generate: text() writes all tokens itself, and this text has begun already; read summary.text after the " +
            "last token, or call generate again",
        );
      }
      modelOf(source).tokenizer.stream(); // throws a TokenError if there is none
      for (const tokens = begin(); (await tokens.next()).done !== true;);
      return batch.summaries[0]!.text;
    },
    get summary() {
      const { summaries, ledger, promise } = batch;
      return (summary ??= { ...summaries[0]!, ledger, promise });
    },
  };
}

/**
 * Generates a text after every prompt, several at a time, each at its own depth and length. Every text has the tokens
 * that `generate` gives alone with seed + i for prompt i. Tokens carry the index of their prompt. An observer receives
 * the events of all texts.
 *
 * @example
 * ```ts
 * import { generateBatch } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const batch = generateBatch(model, ["The people of the", "The state of the"], { maxNewTokens: 1 });
 * for await (const { prompt, text } of batch) void [prompt, text];
 * console.log(batch.summaries.map(({ text }) => text)); // [ ' United', ' U' ]
 * ```
 */
export function generateBatch(
  source: Model | ExitHeads,
  prompts: readonly Prompt[],
  options: GenerateOptions & BatchOptions = {},
  sequences?: SequenceStore,
): BatchGeneration {
  requireList("generateBatch: prompts", prompts);
  requireKnown("generate", options, [...generateOptionNames, "batchSize"]);
  const { lossless = false, allowUncertified = false } = options;
  const policy = policyIn(options.policy);
  if (policy !== undefined && lossless === false && !allowUncertified) requirePromise(policy, options);
  const ledger = ledgerOf(source);
  let observed = false; // true once the observer has set thresholds
  const observer = options.observer && {
    observe: (event: DecodeEvent) => options.observer!.observe(event),
    thresholds() {
      const given = options.observer!.thresholds?.();
      observed ||= given !== undefined;
      return given;
    },
  };
  const decoder = createDecoder(source, options, { observer, ledger });
  const batch = generateBatchWith(modelOf(source), prompts, options, decoder, sequences);
  return {
    [Symbol.asyncIterator]: () => batch[Symbol.asyncIterator](),
    get summaries() {
      return batch.summaries;
    },
    get ledger() {
      return ledger.report(batch.summaries);
    },
    get promise() {
      const texts = batch.summaries;
      return promiseOf({ policy, lossless: lossless !== false, sampling: options, observed, texts });
    },
  };
}

/**
 * The decoder of `generate`, for programs with a loop of their own. Checks the policy and packs the heads before the
 * first token. Throws a PolicyError or an OptionError if options contradict each other.
 */
export function createDecoder(
  source: Model | ExitHeads,
  { policy: given, lossless = false, drafts = true }: Pick<GenerateOptions, "policy" | "lossless" | "drafts"> = {},
  listeners: DecodeListeners = {},
): Decoder {
  const policy = policyIn(given);
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
  const ahead = heads?.ahead;
  if (lossless !== false) {
    const exits = heads && policy && !ahead ? draftingExits(heads, policy, lossless, listeners) : undefined;
    const looking = lookAhead(model, ahead, lossless, listeners, exits);
    const decoder = losslessDecoder(model, looking, listeners);
    return prepared(decoder, heads, policy, exits ? heads!.heads : ahead ? [ahead] : []);
  }
  if (heads === undefined || policy === undefined) return plainDecoder(model, listeners.ledger, listeners.onLogits);
  if (drafts === false) return prepared(earlyExitDecoder(heads, policy, listeners), heads, policy, heads.heads);
  const decoder = draftBesideExits(heads, policy, lookAhead(model, ahead, drafts, listeners), listeners);
  return prepared(decoder, heads, policy, ahead ? [...heads.heads, ahead] : heads.heads);
}

function prepared(
  decoder: Decoder,
  heads: ExitHeads | undefined,
  policy: Policy | undefined,
  used: readonly ExitHead[],
): Decoder {
  return {
    ...decoder,
    async prepare() {
      if (policy !== undefined) await requirePolicyFor(heads!, policy);
      // Packing on first use would count as the time of the first tokens.
      for (const { weights, preview } of used) {
        await weights.packed();
        await preview?.packed();
      }
    },
  };
}

function costsIn(options: true | LosslessOptions): UnitCosts | undefined {
  if (options === true) return undefined;
  requireKnown("generate: lossless or drafts", options, ["costs"]);
  const { costs } = options;
  if (costs !== undefined) {
    requireList("generate: costs.block", costs.block);
    requireList("generate: costs.finalHead", costs.finalHead);
  }
  return costs;
}

function lookAhead(
  model: Model,
  head: ExitHead | undefined,
  options: true | LosslessOptions,
  { ledger }: DecodeListeners,
  exits?: DraftingExits,
): LookAhead {
  const counted = carefulCosts({ model, heads: [] });
  const { block, finalHead } = costsIn(options) ?? counted;
  // A multiply-add of the head takes as long as one of a block.
  const cost = (costOfRows(block, 1) / costOfRows(counted.block, 1)) * (head?.work.multiplyAdds ?? 0);
  const levels = head === undefined ? [] : head.confidence;
  const createPlan = () => aheadPlan(model.config.numLayers, { block, finalHead, head: cost }, levels);
  return drafterOf(head, createPlan, ledger, exits);
}

function draftingExits(
  heads: ExitHeads,
  policy: Policy,
  options: true | LosslessOptions,
  listeners: DecodeListeners,
): DraftingExits {
  const { model, depths } = heads;
  const { numLayers } = model.config;
  const given = costsIn(options);
  const costs = given ?? countedCosts(heads);
  // A draft from depth L spares its own reading of the unembedding alone, which pays where that is expensive.
  const pays = draftPlan(numLayers, [], given ?? carefulCosts(heads)).more(0);
  const deepest = pays ? numLayers : numLayers - 1;
  const drafting = depths.flatMap((depth, exit) =>
    depth > deepest || policy.exits[exit]?.threshold === "never" ? [] : { depth, head: costs.heads[exit]! },
  );
  return {
    draft: (requests) => leaveEarly(heads, policy, requests, listeners, { deepest }),
    createPlan: () => draftPlan(numLayers, drafting, costs),
  };
}
