/**
 * Answers in OpenAI's shape: whole ones, and the chunks of a stream. Further facts are under `early_exits`: mode,
 * promise, blocks run for every token.
 */
import type { LikelyToken } from "./logprobs.js";
import type { ServedSummary, ServedText, ServedToken } from "./served-text.js";

export interface Answer {
  readonly kind: "chat" | "text";
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  /** Seed of the first choice; the next ones count up. */
  readonly seed: number;
  readonly logprobs: boolean;
  readonly spell: (id: number) => string;
}

export interface Choice {
  readonly index: number;
  /** True if no choice before it has the same prompt. */
  readonly firstOfPrompt: boolean;
  readonly text: ServedText;
}

interface WrittenChoice extends Choice {
  readonly tokens: readonly ServedToken[];
}

export function wholeAnswer(answer: Answer, choices: readonly WrittenChoice[]): object {
  return {
    ...envelope(answer, answer.kind === "chat" ? "chat.completion" : "text_completion"),
    choices: choices.map(({ index, text, tokens }) => ({
      index,
      ...(answer.kind === "chat"
        ? { message: { role: "assistant", content: text.summary.text, refusal: null } }
        : { text: text.summary.text }),
      logprobs: logprobsOf(answer, tokens),
      finish_reason: finishReason(text.summary),
      early_exits: { ...detailsOf(text.summary), depths: tokens.map(({ depth }) => depth) },
    })),
    usage: usageOf(choices),
  };
}

export function openingChunk(answer: Answer, { index }: Choice): object {
  return chunk(answer, [{ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }]);
}

export function tokenChunk(answer: Answer, { index }: Choice, token: ServedToken): object {
  const piece = answer.kind === "chat" ? { delta: { content: token.text } } : { text: token.text };
  const logprobs = logprobsOf(answer, [token]);
  return chunk(answer, [{ index, ...piece, logprobs, finish_reason: null, early_exits: { depths: [token.depth] } }]);
}

export function closingChunk(answer: Answer, { index, text: { summary } }: Choice): object {
  const piece = answer.kind === "chat" ? { delta: {} } : { text: "" };
  const finish_reason = finishReason(summary);
  return {
    ...chunk(answer, [{ index, ...piece, logprobs: null, finish_reason, early_exits: detailsOf(summary) }]),
  };
}

export function usageChunk(answer: Answer, choices: readonly Choice[]): object {
  return { ...chunk(answer, []), usage: usageOf(choices) };
}

/** Prompts count once, however many choices follow them. */
function usageOf(choices: readonly Choice[]) {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const prompts = choices.filter(({ firstOfPrompt }) => firstOfPrompt).map(({ text }) => text.summary);
  const promptTokens = sum(prompts.map((one) => one.promptTokens));
  const newTokens = sum(choices.map(({ text }) => text.summary.newTokens));
  return {
    prompt_tokens: promptTokens,
    completion_tokens: newTokens,
    total_tokens: promptTokens + newTokens,
    prompt_tokens_details: { cached_tokens: sum(prompts.map(({ reusedTokens }) => reusedTokens)) },
  };
}

function envelope({ id, created, model, seed }: Answer, object: string): object {
  return { id, object, created, model, seed };
}

function chunk(answer: Answer, choices: readonly object[]): object {
  return { ...envelope(answer, answer.kind === "chat" ? "chat.completion.chunk" : "text_completion"), choices };
}

function finishReason({ finishReason }: ServedSummary): "stop" | "length" {
  return finishReason === "length" ? "length" : "stop";
}

/** Facts beyond OpenAI's API; no mean depth without tokens. */
function detailsOf({ mode, promise, meanDepth }: ServedSummary) {
  return { mode, promise, mean_depth: Number.isNaN(meanDepth) ? null : meanDepth };
}

function logprobsOf({ kind, logprobs, spell }: Answer, tokens: readonly ServedToken[]): object | null {
  if (!logprobs) return null;
  const spelled = ({ id, logprob }: LikelyToken): { token: string; logprob: number } => ({ token: spell(id), logprob });
  const likely = tokens.map(({ id, logprobs }) => ({ ...spelled({ id, logprob: logprobs!.logprob }), ...logprobs! }));
  if (kind === "chat") {
    const withBytes = (one: { token: string; logprob: number }): object => ({ ...one, bytes: bytesOf(one.token) });
    return {
      content: likely.map(({ token, logprob, top }) => ({
        ...withBytes({ token, logprob }),
        top_logprobs: top.map((one) => withBytes(spelled(one))),
      })),
      refusal: null,
    };
  }
  return {
    tokens: likely.map(({ token }) => token),
    token_logprobs: likely.map(({ logprob }) => logprob),
    // Parts of a character are spelled alike: the likeliest, the first, is written last and stays.
    top_logprobs: likely.map(({ top }) =>
      Object.fromEntries(top.toReversed().map((one) => [spell(one.id), one.logprob])),
    ),
  };
}

/** UTF-8 bytes; null for a token that is part of a character. */
function bytesOf(token: string): number[] | null {
  return token.includes("\uFFFD") ? null : [...new TextEncoder().encode(token)];
}
