/** What text is generated after: text, token ids, or a conversation; and the tokens that it becomes. */
import { OptionError } from "../../errors.js";
import { type ChatMessage, checkMessages } from "../chat/messages.js";
import type { ChatOptions } from "../chat/render-chat.js";
import { encodeChat, requireChatTemplate } from "../chat/encode-chat.js";
import type { Model } from "../model.js";

/** Text, token ids, or the messages of a conversation, which the model's chat template renders. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

export interface PromptOptions {
  /**
   * Whether special tokens (such as begin-of-text) are put around a text prompt. Those of a conversation come from its
   * template.
   * @default as the tokenizer's own configuration says
   */
  readonly addSpecialTokens?: boolean;
  /** How messages are rendered: template, tools, documents, date. */
  readonly chat?: ChatOptions;
}

/**
 * Tokens of text and of ids at once. Messages are only checked; the function that is returned renders them, because the
 * engine is imported then. Throws an OptionError for an illegal prompt, and a TemplateError if there is no template.
 */
export function preparePrompt(
  model: Model,
  prompt: Prompt,
  options: PromptOptions,
): readonly number[] | (() => Promise<readonly number[]>) {
  if (!isConversation(prompt)) return encodePrompt(model, prompt, options);
  const messages = checkMessages(prompt);
  const { tokenizer } = model;
  requireChatTemplate(tokenizer, options.chat);
  return () => encodeChat(tokenizer, messages, options.chat);
}

/** Tokens of a prompt of any kind. */
export async function readPrompt(
  model: Model,
  prompt: Prompt,
  options: PromptOptions = {},
): Promise<readonly number[]> {
  const ids = preparePrompt(model, prompt, options);
  return typeof ids === "function" ? ids() : ids;
}

/** Whether the prompt is a list of messages. An empty list counts as one of token ids. */
export function isConversation(prompt: Prompt): prompt is readonly ChatMessage[] {
  return typeof prompt !== "string" && typeof prompt[0] === "object";
}

/** Tokens of a text or of ids. Throws an OptionError if there are none. */
function encodePrompt(
  model: Model,
  prompt: string | readonly number[],
  { addSpecialTokens }: Pick<PromptOptions, "addSpecialTokens">,
): readonly number[] {
  const ids =
    typeof prompt === "string"
      ? model.tokenizer.encode(prompt, addSpecialTokens === undefined ? {} : { addSpecialTokens })
      : prompt;
  if (ids.length > 0) return ids;
  const { bosTokenId, eosTokenIds } = model.config;
  const start = bosTokenId ?? eosTokenIds[0];
  if (typeof prompt === "string" && start !== undefined) return [start]; // an empty text begins a new document
  throw new OptionError("prompt-empty", "generate: the prompt has no tokens; give a text or at least one token id");
}
