/**
 * Task items as tokens. Each item is one or more passages: a context and the continuation to be scored after it, both
 * of at least one token. The conventions are those of lm-evaluation-harness (models/huggingface.py, utils.py):
 *   joining    a space between context and continuation, unless the continuation begins with white space; white space
 *              at the end of the context is scored with the continuation
 *   tokens     both are tokenized together and split after as many tokens as the context has alone; an empty context
 *              becomes one begin-of-text token
 *   limit      passages that are too long lose tokens on the left; a continuation is never cut
 *   windows    each token of a text is scored once, in windows of the full limit; the first window begins with
 *              begin-of-text, the others with the token before; the last one reaches back for as much context as fits
 * One difference: the special tokens before a context are those that the tokenizer's own configuration adds, as
 * everywhere in this library.
 */
import { TaskError, TokenError } from "../errors.js";
import type { Model } from "../model/index.js";
import type { AnswerChoice, TaskItem } from "./tasks.js";

export interface Passage {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
}

export interface PassageOptions {
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
}

/** Passages of an item, and the number that lost context. */
export interface EncodedItem {
  readonly passages: readonly Passage[];
  readonly truncated: number;
}

/** The encoder throws a TaskError for an item that cannot be scored; `number` names it, from 1. */
export function passageEncoder(
  model: Model,
  { maxLength, addSpecialTokens }: PassageOptions,
): (item: TaskItem, number: number) => EncodedItem {
  const { tokenizer } = model;
  const encode = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const begin = addSpecialTokens ? specialPrefix(tokenizer.encode("a"), encode("a")) : [];
  const start = (): number => {
    const id = tokenizer.bosTokenId ?? model.config.bosTokenId ?? tokenizer.eosTokenId ?? model.config.eosTokenIds[0];
    if (id === undefined) {
      throw new TokenError(
        "start-missing",
        "evaluate: a text without context needs a token to begin with, but neither the tokenizer nor config.json " +
          "names a begin-of-text or end-of-text token",
      );
    }
    return id;
  };
  const encodePair = ({ context: before, continuation: after }: AnswerChoice, number: number): EncodedPair => {
    const own = before.trimEnd() === "" ? [] : encode(before.trimEnd());
    const continuation = encode(before + (/^\s/.test(after) ? "" : " ") + after).slice(own.length);
    const context = [...begin, ...own];
    if (context.length === 0) context.push(start());
    if (continuation.length === 0) {
      throw new TaskError(
        "task-continuation",
        `evaluate: item ${number}: ${JSON.stringify(after)} adds no token to its context; give more text`,
        { item: number },
      );
    }
    if (continuation.length > maxLength) {
      throw new TaskError(
        "task-length",
        `evaluate: item ${number}: a continuation of ${continuation.length} tokens exceeds the limit of ` +
          `${maxLength}; leave the item out, or raise the limit if the model permits it`,
        { item: number, tokens: continuation.length, limit: maxLength },
      );
    }
    const room = maxLength + 1 - continuation.length; // the last token is predicted, but never an input
    return { passage: { context: context.slice(-room), continuation }, truncated: context.length > room };
  };
  return (item, number) => {
    if (item.kind === "perplexity") {
      return { passages: rollingWindows(encode(item.text), start(), maxLength), truncated: 0 };
    }
    const choices = item.kind === "lambada" ? [item] : item.choices;
    const pairs = choices.map((choice) => encodePair(choice, number));
    return {
      passages: pairs.map(({ passage }) => passage),
      truncated: pairs.filter(({ truncated }) => truncated).length,
    };
  };
}

interface EncodedPair {
  readonly passage: Passage;
  readonly truncated: boolean;
}

export function rollingWindows(ids: readonly number[], start: number, maxLength: number): Passage[] {
  const text = [start, ...ids];
  const passages: Passage[] = [];
  for (let begin = 1; begin < text.length; begin += maxLength) {
    const end = Math.min(begin + maxLength, text.length);
    const from = begin === 1 ? 0 : end - 1 - maxLength;
    passages.push({ context: text.slice(from, begin), continuation: text.slice(begin, end) });
  }
  return passages;
}

function specialPrefix(withSpecial: readonly number[], plain: readonly number[]): number[] {
  return withSpecial.slice(0, withSpecial.indexOf(plain[0]!));
}
