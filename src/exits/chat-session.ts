/**
 * A conversation that goes on: the history of messages, and one KV cache that all turns share. A turn renders the whole
 * history, keeps the keys and values of the beginning that ran before, and runs the rest:
 *
 *     history, rendered:  t0 t1 … tk-1 | tk … tn-1      tokens before k are in the cache already; the last one never is
 *
 * So a turn gives the tokens that `generate` gives for its messages, and costs the prefill of what is new. Keys and
 * values that an inexact fill approximated (project) are not kept: that part of the answer runs again.
 */
import { OptionError } from "../errors.js";
import { requireKnown } from "../known.js";
import { commonLength, type OpenText, type SequenceStore } from "../model/decode/sequence-store.js";
import { type ChatMessage, type GeneratedToken, type Model, Sequence } from "../model/index.js";
import { isExactFill } from "./fill/fill.js";
import { generate, generateOptionNames, type GenerateOptions, type GenerateSummary } from "./generate.js";
import type { ExitHeads } from "./heads/exit-heads.js";
import { policyIn } from "./plan/policy.js";

export interface ChatSessionOptions extends GenerateOptions {
  /** The system message that the conversation begins with. @default none */
  readonly system?: string;
}

export interface TurnSummary extends GenerateSummary {
  /** Tokens of the prompt whose keys and values were in the cache already. */
  readonly reusedTokens: number;
}

export interface Turn extends AsyncIterable<GeneratedToken> {
  readonly summary: TurnSummary;
}

/** All keys and values that decoding leaves behind are the full model's. */
export function keepsExactKeys({ policy, lossless = false }: Pick<GenerateOptions, "policy" | "lossless">): boolean {
  return policy === undefined || lossless !== false || isExactFill(policyIn(policy)!.fill);
}

/** Call `dispose` when it is over. */
export class ChatSession {
  /** The system message. Set it at any time: the next turn is rendered with it. */
  system: string | undefined;
  readonly #source: Model | ExitHeads;
  readonly #options: GenerateOptions;
  readonly #cache = new ConversationCache();
  readonly #history: ChatMessage[] = [];
  #turns = 0;
  #busy = false;

  /** Options for every turn; turn n (0-based) is sampled with seed + n. */
  constructor(source: Model | ExitHeads, { system, ...options }: ChatSessionOptions = {}) {
    requireKnown("ChatSession", options, generateOptionNames);
    this.system = system;
    this.#source = source;
    this.#options = options;
  }

  /** Includes the system message. */
  get messages(): readonly ChatMessage[] {
    const { system } = this;
    return system === undefined ? [...this.#history] : [{ role: "system", content: system }, ...this.#history];
  }

  /**
   * Answers a message, with options of this turn alone. A turn that is cancelled, by its signal or by leaving the loop,
   * leaves the answer so far in the history; one that fails leaves the history as it was. Throws an OptionError from
   * the iterator if another turn is under way.
   */
  send(content: string, options: GenerateOptions = {}): Turn {
    let summary: TurnSummary | undefined;
    const tokens = this.#answer(content, { ...this.#options, ...options }, (done) => {
      summary = done;
    });
    return {
      [Symbol.asyncIterator]: () => tokens,
      get summary() {
        if (summary !== undefined) return summary;
        throw new OptionError(
          "summary-early",
          "chat: summary is available after the last token; consume the tokens first",
        );
      },
    };
  }

  /** Forgets all messages but the system message: the next turn is the first. */
  clear(): void {
    this.#requireIdle("clear");
    this.#history.length = 0;
    this.#turns = 0;
  }

  /** The model lives on. */
  dispose(): void {
    this.#requireIdle("dispose");
    this.#cache.dispose();
  }

  async *#answer(
    content: string,
    options: GenerateOptions,
    onEnd: (summary: TurnSummary) => void,
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    this.#requireIdle("send");
    this.#busy = true;
    const before = this.#history.length;
    let answer = "";
    let failed = false;
    try {
      this.#history.push({ role: "user", content });
      this.#cache.exactFills = keepsExactKeys(options);
      const seed = (options.seed ?? 0) + this.#turns;
      this.#cache.reused = -1;
      const run = generate(this.#source, this.messages, { ...options, seed }, this.#cache);
      for await (const token of run) {
        answer += token.text;
        yield token;
      }
      onEnd({ ...run.summary, reusedTokens: Math.max(0, this.#cache.reused) });
    } catch (error) {
      failed = options.signal?.aborted !== true;
      throw error;
    } finally {
      if (failed) {
        this.#history.length = before;
        if (this.#cache.reused >= 0) this.#cache.dispose();
      } else {
        this.#turns++;
        this.#history.push({ role: "assistant", content: answer });
      }
      this.#busy = false;
    }
  }

  #requireIdle(what: string): void {
    if (!this.#busy) return;
    throw new OptionError(
      "chat-busy",
      `chat: ${what} was called while an answer is being written; consume it, or cancel it by its signal`,
    );
  }
}

/** Keeps one sequence from turn to turn. */
class ConversationCache implements SequenceStore {
  /** All keys and values of the turn under way are the full model's. */
  exactFills = true;
  /** Positions of its prompt that did not run; -1 before it opens its text. */
  reused = -1;
  #sequence: Sequence | undefined;
  #promptTokens = 0;

  open(model: Model, { promptIds }: OpenText): Sequence {
    const sequence = (this.#sequence ??= new Sequence(model));
    // The last token always runs: its state chooses the first new token.
    sequence.truncate(Math.min(commonLength(sequence.ids, promptIds), promptIds.length - 1));
    sequence.append(...promptIds.slice(sequence.length));
    this.#promptTokens = promptIds.length;
    this.reused = sequence.lengthAt(model.config.numLayers);
    return sequence;
  }

  close(sequence: Sequence): void {
    // The first new token leaves at the prompt's last position, whose fill may be inexact.
    if (!this.exactFills) sequence.truncate(this.#promptTokens - 1);
  }

  dispose(): void {
    this.#sequence?.dispose();
    this.#sequence = undefined;
  }
}
