/**
 * Continuous batching: the writing loop of `generate` (src/model/decode/generate.ts) for clients who come and go.
 * Between its turns:
 *
 *     leave   texts whose reader has gone, or whose signal is aborted, are given up
 *     join    texts of the queue join while there is room for them, in order; what their prompt shares with a text that
 *             ended or is running is copied, not computed
 *
 * Only positions that ran all blocks are shared, so every text has the tokens that `generate` gives for its request
 * alone.
 */
import { OptionError, requireInteger } from "early-exits";
import { commonLength, type ExitHeads, keepsExactKeys, promiseOf, requirePromise } from "early-exits/exits";
import {
  type ActiveText,
  cacheBytesPerPosition,
  type Decoder,
  type GeneratedToken,
  giveTurn,
  type Model,
  type PlannedText,
  planText,
  Sequence,
  WritingLoop,
} from "early-exits/model";
import { DeviceError } from "early-exits/tensor";
import {
  type BatcherLimits,
  type BatcherOptions,
  type BatcherState,
  limitsOf,
  type TextRequest,
} from "./batcher-options.js";
import { type WatchedSampler, watchLogprobs } from "./logprobs.js";
import { PrefixCache } from "./prefix-cache.js";
import { ServeError } from "./serve-error.js";
import { createTextStream, type ServedText, type TextStream } from "./served-text.js";
import { decodersOf, optionsOf, type ServingMode } from "./ways.js";

/** Positions that waiting for another text's running prompt must save. */
const WORTH_WAITING = 32;

export class Batcher {
  readonly model: Model;
  readonly #options: BatcherOptions;
  readonly #limits: BatcherLimits;
  readonly #decoders: ReadonlyMap<ServingMode, Decoder>;
  readonly #prefixes: PrefixCache;
  #prepared: Promise<void> | undefined;
  readonly #loop: WritingLoop<Running>;
  #queue: Queued[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  /** Throws an OptionError for a limit outside its range, and a PolicyError for a policy without heads. */
  constructor(source: Model | ExitHeads, options: BatcherOptions = {}) {
    this.model = "model" in source ? source.model : source;
    this.#options = options;
    this.#limits = limitsOf(options, this.model.device.info.batchIndependent);
    this.#decoders = decodersOf(source, options);
    this.#prefixes = new PrefixCache(this.#limits.prefixBytes);
    this.#loop = new WritingLoop(this.model, this.#limits);
  }

  get state(): BatcherState {
    const prefixBytes = this.#prefixes.bytes;
    return {
      running: this.#loop.size,
      queued: this.#queue.length,
      cacheBytes: this.#loop.texts.reduce((sum, { sequence }) => sum + sequence.cacheBytes, prefixBytes),
      prefixBytes,
    };
  }

  /** Texts that it takes at once, waiting ones included. */
  get mostTexts(): number {
    return this.#limits.parallel + this.#limits.queueLimit;
  }

  /** Checks policies and prepares heads, for which the first text waits otherwise. Throws a PolicyError. */
  prepare(): Promise<void> {
    this.#prepared ??= (async () => {
      for (const decoder of this.#decoders.values()) await decoder.prepare?.();
    })();
    return this.#prepared;
  }

  /**
   * Queues a text. Throws an OptionError, TokenError or PolicyError for what `generate` refuses, and a ServeError
   * ("queue-full", "serve-closed" or "serve-memory") if the server cannot take it.
   */
  submit(promptIds: readonly number[], request: TextRequest = {}): ServedText {
    if (this.#closed) throw new ServeError("serve-closed", "serve: the server is closing; ask another one");
    const { mode = "plain", logprobs } = request;
    this.#requireMode(mode, request);
    if (promptIds.length === 0) {
      throw new OptionError("prompt-empty", "serve: the prompt has no tokens; give at least one");
    }
    if (logprobs !== undefined && mode === "lossless") {
      throw new OptionError(
        "serve-logprobs",
        'serve: logprobs were asked for in mode "lossless", whose tokens are verified, not drawn; ask for "plain"',
      );
    }
    if (logprobs !== undefined) requireInteger("serve: logprobs", logprobs, 0);
    const planned = planText(this.model, { index: 0, promptIds, conversation: false }, request);
    const watched = logprobs === undefined ? undefined : watchLogprobs(planned.sampler, logprobs);
    const came = this.#limits.now();
    const bytes = this.#bytesOf(planned.capacity);
    this.#requireRoom(bytes);
    const text: Queued = {
      ...planned,
      sampler: watched ?? planned.sampler,
      watched,
      mode,
      request,
      stream: createTextStream(this.#limits.unreadTokens),
      bytes,
      came,
    };
    if (text.writer.finished) this.#finish({ ...text, entered: came, reusedTokens: 0 });
    else {
      this.#queue.push(text);
      this.#running ??= this.#run();
    }
    return text.stream;
  }

  /** Refuses new texts, waits for those it has, then frees all memory. The model lives on. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    this.#prefixes.shrink(0);
  }

  #requireMode(mode: ServingMode, request: TextRequest): void {
    const { policy } = optionsOf(mode, this.#options);
    if (mode !== "exits" || policy === undefined || this.#options.allowUncertified === true) return;
    requirePromise(policy, request);
  }

  #bytesOf(positions: number): number {
    const { config, kvCache } = this.model;
    const perPosition = cacheBytesPerPosition(config, kvCache);
    return Math.min(positions, config.maxPositionEmbeddings) * perPosition;
  }

  #requireRoom(bytes: number): void {
    const { textBytes, queueLimit, parallel } = this.#limits;
    if (bytes > textBytes) {
      throw new ServeError(
        "serve-memory",
        `serve: the text may need ${bytes} bytes of KV cache, and the limit is ${textBytes}; ` +
          "shorten the prompt or maxNewTokens",
        { bytes, textBytes },
      );
    }
    const free = Math.max(0, parallel - this.#loop.size);
    if (this.#queue.length >= queueLimit + free) {
      throw new ServeError(
        "queue-full",
        `serve: ${this.#queue.length} texts are waiting, and the limit is ${queueLimit}; ask again later`,
        { queued: this.#queue.length, queueLimit },
      );
    }
  }

  async #run(): Promise<void> {
    try {
      await this.prepare();
      while (this.#queue.length + this.#loop.size > 0) {
        await giveTurn();
        this.#leave();
        await this.#join();
        for (const written of await this.#loop.turn()) {
          if (!("error" in written)) this.#deliver(written.text, written.tokens);
          else if (!this.#makesRoom(written.error)) this.#fail(written.text, written.error);
        }
      }
    } catch (error) {
      for (const text of this.#texts) this.#fail(text, error);
    } finally {
      this.#running = undefined;
    }
  }

  get #texts(): readonly (Queued | Running)[] {
    return [...this.#queue, ...this.#loop.texts];
  }

  #leave(): void {
    for (const text of this.#texts) {
      const { signal } = text.request;
      if (signal?.aborted === true || text.stream.left) this.#fail(text, signal?.reason);
    }
  }

  /** Joins texts in order while there is room. */
  async #join(): Promise<void> {
    for (const text of [...this.#queue]) {
      if (this.#loop.size >= this.#limits.parallel) return;
      const promised = this.#loop.texts.reduce((sum, { bytes }) => sum + bytes, text.bytes);
      if (promised > this.#limits.cacheBytes) return;
      const shared = this.#sharedBy(text.promptIds);
      if (shared.later >= shared.length + WORTH_WAITING) continue; // soon it can be copied
      try {
        const sequence = this.#open(text, shared);
        this.#prefixes.shrink(this.#limits.cacheBytes - promised);
        this.#queue = this.#queue.filter((other) => other !== text);
        const decoder = this.#decoders.get(text.mode)!;
        const entered = this.#limits.now();
        this.#loop.join({ ...text, sequence, decoder, entered, reusedTokens: shared.length });
      } catch (error) {
        this.#fail(text, error);
      }
      await giveTurn(); // a large cache takes the time of a token
    }
  }

  /** Longest beginning of a prompt that was computed, and that another text is about to compute. */
  #sharedBy(promptIds: readonly number[]): Shared {
    if (this.#limits.prefixBytes === 0) return { from: undefined, length: 0, later: 0 };
    const most = promptIds.length - 1; // the last token runs in any case: the first new one is chosen from its state
    const kept = this.#prefixes.find(promptIds);
    let from = kept?.sequence;
    let length = Math.min(most, kept?.length ?? 0);
    let later = 0;
    for (const text of this.#loop.texts) {
      const common = Math.min(most, commonLength(text.sequence.ids, promptIds));
      const computed = Math.min(common, this.#exactLength(text));
      if (computed > length) {
        from = text.sequence;
        length = computed;
      }
      later = Math.max(later, Math.min(common, text.promptIds.length - 1));
    }
    return { from: length === 0 ? undefined : from, length, later };
  }

  /** Sequence with the prompt's tokens. */
  #open({ promptIds, capacity }: Queued, { from, length }: Shared): Sequence {
    const open = (): Sequence => from?.clone({ length, capacity }) ?? new Sequence(this.model, capacity);
    let sequence: Sequence;
    if (from !== undefined) this.#prefixes.touch(from);
    try {
      sequence = open();
    } catch (error) {
      if (!this.#makesRoom(error, from)) throw error;
      sequence = open();
    }
    sequence.append(...promptIds.slice(length));
    return sequence;
  }

  /** True if the device failed (its memory is full), and kept beginnings made room for another try, all but one. */
  #makesRoom(error: unknown, but?: Sequence): boolean {
    const { bytes } = this.#prefixes;
    if (error instanceof DeviceError) this.#prefixes.shrink(but?.cacheBytes ?? 0);
    return this.#prefixes.bytes < bytes;
  }

  /** Positions from the beginning whose keys and values are those of a fresh pass. */
  #exactLength({ mode, promptIds, sequence }: Running): number {
    const complete = sequence.lengthAt(this.model.config.numLayers);
    return keepsExactKeys(optionsOf(mode, this.#options)) ? complete : Math.min(complete, promptIds.length - 1);
  }

  /** Hands tokens to the reader. An ended text is kept for later prompts, and its reader is told. */
  #deliver(text: Running, tokens: readonly GeneratedToken[]): void {
    const { stream, watched, writer } = text;
    try {
      stream.push(
        watched === undefined ? tokens : tokens.map((token) => ({ ...token, logprobs: watched.logprobsOf(token.id) })),
      );
    } catch (error) {
      this.#fail(text, error);
      return;
    }
    if (!writer.finished) return;
    this.#keep(text);
    this.#free(text);
    this.#finish(text);
  }

  /** Keeps a beginning for later prompts if memory allows. */
  #keep(text: Running): void {
    if (this.#limits.prefixBytes === 0) return;
    const length = this.#exactLength(text);
    try {
      this.#prefixes.keep(text.sequence, length, this.#bytesOf(length));
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error; // a full memory keeps nothing
    }
  }

  #finish({ writer, stream, mode, request, came, entered, reusedTokens }: Ended): void {
    const { policy, lossless = false } = optionsOf(mode, this.#options);
    const text = writer.summary(came);
    const terms = { policy, lossless: lossless !== false, sampling: request, observed: false, texts: [text] };
    const queued = entered - came;
    stream.end({ ...text, mode, promise: promiseOf(terms), reusedTokens, queued });
  }

  #fail(text: Queued | Running, reason: unknown): void {
    this.#free(text);
    text.stream.fail(reason);
  }

  /** Removes the text from queue and loop, and frees its memory. */
  #free(text: Queued | Running): void {
    this.#queue = this.#queue.filter((other) => other !== text);
    if (!("sequence" in text)) return;
    this.#loop.leave(text);
    text.sequence.dispose();
  }
}

/** A text on its way: queued, running, ended. */
interface Queued extends PlannedText {
  readonly mode: ServingMode;
  readonly request: TextRequest;
  readonly stream: TextStream;
  readonly watched: WatchedSampler | undefined;
  /** Bytes of KV cache at most. */
  readonly bytes: number;
  /** Arrival in milliseconds. */
  readonly came: number;
}

interface Running extends Queued, ActiveText {
  readonly entered: number;
  readonly reusedTokens: number;
}

type Ended = Omit<Running, "sequence" | "decoder">;

/** Positions that a prompt can take over from other texts. */
interface Shared {
  /** Sequence that begins like the prompt. */
  readonly from: Sequence | undefined;
  /** Tokens to copy from it. */
  readonly length: number;
  /** Tokens to copy once the running prompts have run. */
  readonly later: number;
}
