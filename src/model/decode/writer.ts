/**
 * A generation so far: tokens, text, counts. Ends the text at maxNewTokens, at an end-of-text token or before a stop
 * string.
 */
import { OptionError } from "../../errors.js";
import type { Model } from "../model.js";
import type { Sequence } from "../sequence.js";
import type { Choice, Round } from "./decoder.js";

export interface GeneratedToken {
  readonly id: number;
  /** Addition to the text; empty while a character is incomplete. */
  readonly text: string;
  /** Blocks run to choose it, 1..L. Of a drafted token: to draft it, 0 if it was looked up. */
  readonly depth: number;
  /** undefined if it ran all blocks. */
  readonly exit: number | undefined;
  /** Confidence at that exit. */
  readonly score: number | undefined;
  /** Drafted, then verified by the full model. */
  readonly drafted: boolean;
  /** Index of its prompt; 0 unless several were given. */
  readonly prompt: number;
}

export type FinishReason = "endOfText" | "stop" | "length";

/** Counts are of new tokens, without the prompt. */
export interface TextSummary {
  readonly text: string;
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Mean depth at which tokens were chosen, or drafted: the ledger counts the blocks that ran. NaN without tokens. */
  readonly meanDepth: number;
  /** depthCounts[d] = tokens chosen after d blocks, d = 0..L. */
  readonly depthCounts: readonly number[];
  /** Decoding steps: as many as tokens, unless steps choose several (lossless decoding). */
  readonly rounds: number;
  readonly drafted: number;
  /** By the full model, those after the end of the text included. */
  readonly accepted: number;
  /** accepted / drafted; NaN if none was drafted. */
  readonly acceptanceRate: number;
  readonly tokensPerRound: number;
  /** 1 + accepted / rounds. */
  readonly meanAcceptanceLength: number;
  /** roundsByAccepted[n]: rounds in which n drafts were accepted. */
  readonly roundsByAccepted: readonly number[];
  /** Milliseconds from the call to the first token. */
  readonly timeToFirstToken: number;
  /** Tokens after the first round per second of decoding; NaN without any. */
  readonly tokensPerSecond: number;
  /** Bytes of KV cache at its end; 0 if it never began. */
  readonly cacheBytes: number;
}

interface WriterOptions {
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
  readonly stopAtEndOfText: boolean;
}

// Stop strings in a stream of text pieces. Text is released once no stop string can begin in it, so none appears in the
// output, even if it arrives in pieces.

export class StopMatcher {
  #held = "";

  constructor(readonly stops: readonly string[]) {
    if (stops.some((stop) => stop === "")) {
      throw new OptionError("stop-empty", "generate: a stop string is empty; it would match everywhere");
    }
  }

  /**
   * Adds a piece; after the `last`, nothing is held back. Returns the text that is certain now, and `matched` if it
   * ends before a completed stop string.
   */
  push(piece: string, { last }: { readonly last: boolean }): { text: string; matched: boolean } {
    const text = this.#held + piece;
    const matches = this.stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
    if (matches.length > 0) {
      this.#held = "";
      return { text: text.slice(0, Math.min(...matches)), matched: true };
    }
    const certain = text.length - (last ? 0 : this.#possibleBeginning(text));
    this.#held = text.slice(certain);
    return { text: text.slice(0, certain), matched: false };
  }

  /** Longest end of `text` that begins some stop string. */
  #possibleBeginning(text: string): number {
    const longest = Math.min(text.length, Math.max(0, ...this.stops.map((stop) => stop.length - 1)));
    for (let length = longest; length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}

export class Writer {
  readonly ids: number[] = [];
  readonly #model: Model;
  readonly #prompt: number;
  readonly #options: WriterOptions;
  readonly #promptTokens: number;
  readonly #matcher: StopMatcher;
  readonly #textOf: (id: number) => string;
  readonly #flush: () => string;
  readonly #depthCounts: number[];
  #text = "";
  #finished: FinishReason | undefined;
  #rounds = 0;
  #drafted = 0;
  #accepted = 0;
  readonly #roundsByAccepted: number[] = [];
  #firstRound = 0;
  /** Milliseconds. */
  #firstAt = NaN;
  #lastAt = NaN;
  #cacheBytes = 0;

  /** Tokens have no text if the model has no tokenizer. */
  constructor(model: Model, prompt: number, promptIds: readonly number[], options: WriterOptions) {
    this.#model = model;
    this.#prompt = prompt;
    this.#options = options;
    this.#promptTokens = promptIds.length;
    this.#matcher = new StopMatcher(options.stop);
    // Padded embeddings have ids beyond the tokenizer's vocabulary; these have no text.
    const vocabSize = model.hasTokenizer ? model.tokenizer.vocabSize : 0;
    const stream = model.hasTokenizer ? model.tokenizer.stream(promptIds.filter((id) => id < vocabSize)) : undefined;
    this.#textOf = (id) => (id < vocabSize ? (stream?.push(id) ?? "") : "");
    this.#flush = () => stream?.flush() ?? "";
    this.#depthCounts = new Array<number>(model.config.numLayers + 1).fill(0);
    if (options.maxNewTokens === 0) this.#finished = "length";
  }

  get finished(): boolean {
    return this.#finished !== undefined;
  }

  get room(): number {
    return this.#options.maxNewTokens - this.ids.length;
  }

  /** Tokens of a round that arrived at `now` (ms); those after the end of the text are dropped. */
  write({ tokens, drafted }: Round, now: number): GeneratedToken[] {
    this.#rounds++;
    this.#drafted += drafted;
    const accepted = tokens.length - 1;
    this.#accepted += accepted;
    while (this.#roundsByAccepted.length <= accepted) this.#roundsByAccepted.push(0);
    this.#roundsByAccepted[accepted]!++;
    const written: GeneratedToken[] = [];
    for (const [index, token] of tokens.entries()) {
      if (this.finished) break;
      const wasDrafted = index < tokens.length - 1;
      written.push(this.#add(token, wasDrafted));
    }
    if (this.#rounds === 1) {
      this.#firstAt = now;
      this.#firstRound = written.length;
    }
    this.#lastAt = now;
    return written;
  }

  close({ cacheBytes }: Pick<Sequence, "cacheBytes">): void {
    this.#cacheBytes = cacheBytes;
  }

  summary(started: number): TextSummary {
    const newTokens = this.ids.length;
    const later = newTokens - this.#firstRound;
    return {
      text: this.#text,
      ids: this.ids,
      finishReason: this.#finished ?? "length",
      promptTokens: this.#promptTokens,
      newTokens,
      depthCounts: this.#depthCounts,
      meanDepth: this.#depthCounts.reduce((sum, count, depth) => sum + count * depth, 0) / newTokens,
      rounds: this.#rounds,
      drafted: this.#drafted,
      accepted: this.#accepted,
      acceptanceRate: this.#accepted / this.#drafted,
      tokensPerRound: newTokens / this.#rounds,
      meanAcceptanceLength: 1 + this.#accepted / this.#rounds,
      roundsByAccepted: this.#roundsByAccepted,
      timeToFirstToken: this.#firstAt - started,
      tokensPerSecond: later > 0 ? later / ((this.#lastAt - this.#firstAt) / 1000) : NaN,
      cacheBytes: this.#cacheBytes,
    };
  }

  #add({ id, depth, exit, score }: Choice, drafted: boolean): GeneratedToken {
    this.ids.push(id);
    this.#depthCounts[depth]!++;
    const ended = this.#options.stopAtEndOfText && this.#model.config.eosTokenIds.includes(id);
    const last = ended || this.room === 0;
    const piece = this.#matcher.push(this.#textOf(id) + (last ? this.#flush() : ""), { last });
    this.#text += piece.text;
    if (piece.matched) this.#finished = "stop";
    else if (ended) this.#finished = "endOfText";
    else if (this.room === 0) this.#finished = "length";
    return { id, text: piece.text, depth, exit, score, drafted, prompt: this.#prompt };
  }
}
