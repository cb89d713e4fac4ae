/**
 * Writing: a prompt becomes a text, which joins the loop and leaves it when it ends. A turn of the loop is:
 *
 *     prefill   a slice of the prompts that have joined runs, so that a long one does not stop the others
 *     write     one round of its decoder for every text whose prompt has run: a token, or several that were verified
 *
 * `generate` has one text, a chat keeps its sequence, a server lets texts join as they come. Kernels add in an order
 * that does not depend on the batch and samplers are per text, so every text has the tokens that it has alone.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { DeviceError, OptionError, requireInteger } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import { fillCaches } from "../advance.js";
import type { Decoder, Round } from "./decoder.js";
import type { Model } from "../model.js";
import type { Sequence } from "../sequence.js";
import { isConversation, preparePrompt, type Prompt } from "./prompt.js";
import { freshSequences, type SequenceStore } from "./sequence-store.js";
import { type GenerateOptions, type PlannedText, planText } from "./text.js";
import type { GeneratedToken, TextSummary } from "./writer.js";

/** Iterate it once. `summary` is available after the last token. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summary: TextSummary;
}

/** Iterate it once. `summaries`, one for each prompt, are available after the last token. */
export interface BatchGeneration extends AsyncIterable<GeneratedToken> {
  /** Throws an OptionError before the iteration has ended. */
  readonly summaries: readonly TextSummary[];
}

export interface BatchOptions {
  /** Sequences decoded together at most; the next prompt enters when one ends. @default all */
  readonly batchSize?: number;
}

/** Every text has the tokens that it has alone. Prompt i is sampled with seed + i. */
export function generateBatchWith(
  model: Model,
  prompts: readonly Prompt[],
  options: GenerateOptions & BatchOptions,
  decoder: Decoder,
  sequences: SequenceStore = freshSequences,
): BatchGeneration {
  const { signal, now = () => performance.now() } = options;
  const batchSize = requireInteger("generate: batchSize", options.batchSize ?? Math.max(1, prompts.length), 1);
  const plan = (promptIds: readonly number[], index: number): PlannedText =>
    planText(model, { index, promptIds, conversation: isConversation(prompts[index]!) }, options);
  // Illegal options and prompts are refused before the iteration, except what rendered messages show.
  const prepared = prompts.map((prompt, index) => {
    const ids = preparePrompt(model, prompt, options);
    return typeof ids === "function" ? async () => plan(await ids(), index) : plan(ids, index);
  });
  let summaries: readonly TextSummary[] | undefined;

  async function* tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const started = now();
    const entries = await Promise.all(prepared.map(async (entry) => (typeof entry === "function" ? entry() : entry)));
    const waiting = entries.filter(({ writer }) => !writer.finished);
    const loop = new WritingLoop<ActiveText>(model, { now, signal });
    try {
      await decoder.prepare?.();
      while (loop.size > 0 || waiting.length > 0) {
        const turn = giveTurn(signal);
        if (turn !== undefined) await turn;
        for (const entry of waiting.splice(0, batchSize - loop.size)) {
          loop.join({ ...entry, decoder, sequence: await sequences.open(model, entry) });
          const turn = giveTurn(signal); // a large cache takes the time of a token
          if (turn !== undefined) await turn;
        }
        const written = await loop.turn();
        for (const { text } of written) {
          if (text.writer.finished) sequences.close(text.sequence);
        }
        for (const each of written) {
          if ("error" in each) throw each.error;
          for (const token of each.tokens) {
            signal?.throwIfAborted();
            yield token;
          }
        }
      }
      summaries = entries.map(({ writer }) => writer.summary(started));
    } finally {
      for (const { sequence } of loop.texts) sequences.close(sequence);
    }
  }

  const iterator = tokens();
  return {
    [Symbol.asyncIterator]: () => iterator,
    get summaries() {
      if (summaries === undefined) {
        throw new OptionError(
          "summary-early",
          "generate: the summary is available once the iteration has ended; consume the tokens first",
        );
      }
      return summaries;
    },
  };
}

/**
 * Texts of at most `limit` tokens with the indices of their prompts, in order, each when it and those before it have
 * ended.
 */
export async function* wholeTexts(
  { config }: Model,
  run: AsyncIterable<GeneratedToken>,
  limit: number,
): AsyncGenerator<readonly [index: number, ids: number[]], void, undefined> {
  const texts: number[][] = [];
  let next = 0;
  for await (const { id, prompt } of run) {
    (texts[prompt] ??= []).push(id);
    for (let text = texts[next]; text !== undefined; text = texts[++next]) {
      if (text.length < limit && !config.eosTokenIds.includes(text.at(-1)!)) break;
      yield [next, text];
    }
  }
}

/** Its sequence holds its prompt. */
export interface ActiveText extends PlannedText {
  readonly sequence: Sequence;
  readonly decoder: Decoder;
}

/** Tokens of a text in one turn, or its failure. A text that has ended has left the loop. */
export type Written<Text> =
  | { readonly text: Text; readonly tokens: readonly GeneratedToken[] }
  | { readonly text: Text; readonly error: unknown };

interface LoopOptions {
  /** Prompt positions per turn while other texts are being written. @default all */
  readonly prefillRows?: number;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
  readonly signal?: CancelSignal | undefined;
}

/** Multiple of `prefillRows` that runs at once while no text is being written. */
const IDLE_SLICES = 8;

export class WritingLoop<Text extends ActiveText> {
  readonly #model: Model;
  readonly #prefillRows: number;
  readonly #now: () => number;
  readonly #signal: CancelSignal | undefined;
  #entering: Text[] = [];
  #writing: Text[] = [];

  constructor(model: Model, { prefillRows = Infinity, now = () => performance.now(), signal }: LoopOptions = {}) {
    this.#model = model;
    this.#prefillRows = prefillRows;
    this.#now = now;
    this.#signal = signal;
  }

  get size(): number {
    return this.#entering.length + this.#writing.length;
  }

  get texts(): readonly Text[] {
    return [...this.#entering, ...this.#writing];
  }

  join(text: Text): void {
    this.#entering.push(text);
  }

  /** The text's sequence is the caller's to free. */
  leave(text: Text): void {
    this.#entering = this.#entering.filter((other) => other !== text);
    this.#writing = this.#writing.filter((other) => other !== text);
  }

  /**
   * Returns what was written, by text. A text that fails stays in the loop until it leaves, and the others go on: where
   * memory is full, the newest fails.
   */
  async turn(): Promise<Written<Text>[]> {
    const written: Written<Text>[] = [];
    try {
      if (this.#entering.length > 0) await this.#prefill();
    } catch (error) {
      written.push({ text: this.#entering.at(-1)!, error });
    }
    for (const decoder of new Set(this.#writing.map((text) => text.decoder))) {
      const texts = this.#writing.filter((text) => text.decoder === decoder);
      written.push(...(await this.#write(decoder, texts)));
    }
    return written;
  }

  /** Shares a slice of the prompts fairly; the last position belongs to the first round. */
  async #prefill(): Promise<void> {
    const { numLayers } = this.#model.config;
    const rows = this.#prefillRows * (this.#writing.length === 0 ? IDLE_SLICES : 1);
    const share = Math.max(1, Math.floor(rows / this.#entering.length));
    const waiting = this.#entering.map((text) => ({ text, left: text.sequence.pending(numLayers).slice(0, -1) }));
    const work = waiting
      .filter(({ left }) => left.length > 0)
      .map(({ text, left }) => ({ sequence: text.sequence, positions: left.slice(0, share) }));
    const { meter } = this.#entering[0]!.decoder;
    if (work.length > 0) await fillCaches(this.#model, work, { meter, signal: this.#signal });
    meter?.step(0);
    this.#entering = waiting.filter(({ left }) => left.length > share).map(({ text }) => text);
    this.#writing.push(...waiting.filter(({ left }) => left.length <= share).map(({ text }) => text));
  }

  async #write(decoder: Decoder, texts: readonly Text[]): Promise<Written<Text>[]> {
    const known = texts.map(({ sequence }) => sequence.length - 1);
    const takeBack = texts.map(({ sampler }) => sampler.mark?.());
    let rounds: readonly Round[];
    try {
      rounds = await decoder.next(
        texts.map(({ sequence, sampler, writer }) => ({ sequence, sampler, room: writer.room })),
      );
    } catch (error) {
      // Without drafts, and without states of the newest token: those of blocks that it ran may be gone.
      for (const [i, { sequence }] of texts.entries()) {
        const [newest] = sequence.ids.slice(known[i]);
        sequence.truncate(known[i]!);
        sequence.append(newest!);
        takeBack[i]?.();
      }
      if (texts.length === 1 || error instanceof DeviceError) return [{ text: texts.at(-1)!, error }];
      const alone: Written<Text>[] = [];
      for (const text of texts) alone.push(...(await this.#write(decoder, [text])));
      return alone;
    }
    const arrived = this.#now();
    const written = texts.map((text, i) => {
      const { writer, sequence } = text;
      const round = rounds[i]!;
      const tokens = writer.write(round, arrived);
      if (writer.finished) {
        writer.close(sequence);
        this.leave(text);
      } else sequence.append(round.tokens.at(-1)!.id);
      return { text, tokens };
    });
    decoder.meter?.step(written.reduce((sum, { tokens }) => sum + tokens.length, 0));
    return written;
  }
}
