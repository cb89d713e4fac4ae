/**
 * Writing text, one token at a time, for any way of choosing the next token. This file knows prompts, stop conditions, streaming and
 * telemetry; `nextToken` knows the model: `plainDecoder` here runs every block, the early-exit decoder (exits/decode.ts) may stop sooner.
 */
import { OptionError, requireInteger } from "../errors.js";
import { rowStats } from "../tensor/ops/index.js";
import { createRng, type Rng } from "../tensor/rng.js";
import { scope, type Tensor } from "../tensor/tensor.js";
import { advance } from "./advance.js";
import type { WorkMeter } from "./meter.js";
import type { Model } from "./model.js";
import { checkSampling, isPlainGreedy, processedDistribution, sampleFrom, type SamplingOptions } from "./sampling.js";
import { Sequence } from "./sequence.js";
import { StopMatcher } from "./stop.js";

export interface GenerateOptions extends SamplingOptions {
  /** @default 128, or what the context leaves */
  readonly maxNewTokens?: number;
  /** Seed of the sampler. @default 0 */
  readonly seed?: number;
  /** Generation ends before the first of these strings; it is not part of the output. */
  readonly stop?: string | readonly string[];
  /** Ends after an end-of-text token. @default true */
  readonly stopAtEndOfText?: boolean;
  /** Special tokens (such as begin-of-text) around a text prompt: as the tokenizer's own configuration says, unless set here. */
  readonly addSpecialTokens?: boolean;
  /** Cancels generation: the iterator throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Milliseconds, for the telemetry. @default performance.now */
  readonly now?: () => number;
}

export interface GeneratedToken {
  readonly id: number;
  /** What this token adds to the text; the pieces' concatenation is the text. Empty while a character is incomplete. */
  readonly text: string;
  /** Blocks run to choose it, 1..L. */
  readonly depth: number;
  /** Index of the exit it left at; undefined where it ran all blocks. */
  readonly exit: number | undefined;
  /** Confidence score at that exit. */
  readonly score: number | undefined;
}

export type FinishReason = "endOfText" | "stop" | "length";

export interface GenerateSummary {
  readonly text: string;
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Mean blocks per token; NaN without tokens. */
  readonly meanDepth: number;
  /** depthCounts[d] = tokens chosen after d blocks, d = 0..L. */
  readonly depthCounts: readonly number[];
  /** Milliseconds from the call to the first token. */
  readonly timeToFirstToken: number;
  /** Tokens after the first, per second of decoding; NaN below two tokens. */
  readonly tokensPerSecond: number;
}

/** The stream of tokens; iterate it once. `summary` is there after the last token. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summary: GenerateSummary;
}

export interface Choice {
  readonly id: number;
  readonly depth: number;
  readonly exit?: number;
  readonly score?: number;
}

/** Chooses tokens for one sequence. */
export interface Decoder {
  /** Told of the prefill and of where steps end, besides what the decoder tells it. */
  readonly meter?: WorkMeter | undefined;
  /** Called once before the first token: for checks and packing that must wait. */
  prepare?(): Promise<void>;
  /** Chooses the token after the sequence's last position. */
  nextToken(sequence: Sequence): Promise<Choice>;
}

/** Chooses a token id from logits [1, V]: argmax, or a sample of the processed distribution. */
export interface Sampler {
  choose(logits: Tensor, seen: readonly number[]): Promise<number>;
  /** Whether argmax is all it needs. */
  readonly greedy: boolean;
}

/** A sampler whose draws are a function of the seed. */
export function createSampler(options: SamplingOptions, rng: Rng): Sampler {
  const checked = checkSampling(options);
  const greedy = isPlainGreedy(checked);
  return {
    greedy,
    async choose(logits, seen) {
      if (greedy) {
        const stats = rowStats(logits);
        const [id] = await stats.read();
        stats.dispose();
        return id!;
      }
      const p = processedDistribution(await logits.read(), seen, checked);
      return sampleFrom(p, rng);
    },
  };
}

/** Runs every block for every token. */
export function plainDecoder(model: Model, sampler: Sampler, meter?: WorkMeter): Decoder {
  const { numLayers } = model.config;
  return {
    meter,
    async nextToken(sequence) {
      advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers, meter);
      const logits = scope(() => model.unembed(sequence.hidden(sequence.length - 1)));
      meter?.unembed(1);
      const id = await sampler.choose(logits, sequence.ids);
      logits.dispose();
      return { id, depth: numLayers };
    },
  };
}

/** Tokens of a prompt; a text needs the model's tokenizer. Throws an OptionError on an empty prompt. */
export function encodePrompt(model: Model, prompt: string | readonly number[], { addSpecialTokens }: Pick<GenerateOptions, "addSpecialTokens">): readonly number[] {
  const ids = typeof prompt === "string" ? model.tokenizer.encode(prompt, addSpecialTokens === undefined ? {} : { addSpecialTokens }) : prompt;
  if (ids.length > 0) return ids;
  const { bosTokenId, eosTokenIds } = model.config;
  const start = bosTokenId ?? eosTokenIds[0];
  if (typeof prompt === "string" && start !== undefined) return [start]; // an empty text starts a fresh document
  throw new OptionError("prompt-empty", "generate: the prompt has no tokens; give a text or at least one token id");
}

/** Generates with any decoder. The model's tokenizer, where there is one, gives each token's text. */
export function generateWith(model: Model, prompt: string | readonly number[], options: GenerateOptions, createDecoder: (sampler: Sampler) => Decoder): Generation {
  const { seed = 0, stop = [], stopAtEndOfText = true, signal, now = () => performance.now() } = options;
  const promptIds = encodePrompt(model, prompt, options);
  const room = model.config.maxPositionEmbeddings - promptIds.length;
  const maxNewTokens = requireInteger("generate: maxNewTokens", options.maxNewTokens ?? Math.max(0, Math.min(128, room)), 0);
  const decoder = createDecoder(createSampler(options, createRng(seed)));
  const matcher = new StopMatcher(typeof stop === "string" ? [stop] : stop);
  // Refused now, not when the iteration begins.
  model.requireIds(promptIds);
  if (maxNewTokens > room + 1) throw contextError(promptIds.length, maxNewTokens, model.config.maxPositionEmbeddings);
  // Embeddings are often padded: an id may lie beyond the tokenizer's vocabulary, and has no text then.
  const vocabSize = model.hasTokenizer ? model.tokenizer.vocabSize : 0;
  const stream = model.hasTokenizer ? model.tokenizer.stream(promptIds.filter((id) => id < vocabSize)) : undefined;
  const textOf = (id: number): string => (id < vocabSize ? (stream?.push(id) ?? "") : "");
  let summary: GenerateSummary | undefined;

  async function* tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const started = now();
    let firstAt = NaN;
    const ids: number[] = [];
    const depthCounts = new Array<number>(model.config.numLayers + 1).fill(0);
    let text = "";
    let finishReason: FinishReason = "length";
    const sequence = new Sequence(model, promptIds.length + maxNewTokens);
    try {
      await decoder.prepare?.();
      sequence.append(...promptIds);
      // All prompt positions but the last run through all blocks at once; the last one starts the first token.
      const { numLayers } = model.config;
      if (promptIds.length > 1) advance(model, [{ sequence, positions: sequence.pending(numLayers).slice(0, -1) }], numLayers, decoder.meter);
      decoder.meter?.step(0);
      while (ids.length < maxNewTokens) {
        signal?.throwIfAborted();
        if (ids.length > 0) sequence.append(ids.at(-1)!);
        const { id, depth, exit, score } = await decoder.nextToken(sequence);
        decoder.meter?.step(1);
        if (ids.length === 0) firstAt = now();
        ids.push(id);
        depthCounts[depth]!++;
        const ended = stopAtEndOfText && model.config.eosTokenIds.includes(id);
        const last = ended || ids.length === maxNewTokens;
        const piece = matcher.push(textOf(id) + (last ? (stream?.flush() ?? "") : ""), last);
        text += piece.text;
        yield { id, text: piece.text, depth, exit, score };
        if (piece.matched || ended) {
          finishReason = piece.matched ? "stop" : "endOfText";
          break;
        }
      }
      const decoding = (now() - firstAt) / 1000;
      summary = {
        text, ids, finishReason, promptTokens: promptIds.length, newTokens: ids.length, depthCounts,
        meanDepth: depthCounts.reduce((sum, count, depth) => sum + count * depth, 0) / ids.length,
        timeToFirstToken: firstAt - started,
        tokensPerSecond: ids.length > 1 ? (ids.length - 1) / decoding : NaN,
      };
    } finally {
      sequence.dispose();
    }
  }

  const iterator = tokens();
  return {
    [Symbol.asyncIterator]: () => iterator,
    get summary() {
      if (summary === undefined) throw new OptionError("summary-early", "generate: summary is there once the iteration has ended; consume the tokens first");
      return summary;
    },
  };
}

function contextError(prompt: number, maxNewTokens: number, limit: number): OptionError {
  return new OptionError("context-overflow", `generate: a prompt of ${prompt} tokens and maxNewTokens ${maxNewTokens} exceed the context limit of ${limit}; ask for at most ${limit - prompt + 1} new tokens`, { prompt, maxNewTokens, limit });
}
