/** Prompts (text, token ids, or a conversation) and their tokens. */
import { ModelError, OptionError } from "../../errors.js";
import { type ChatMessage, checkMessages } from "../chat/messages.js";
import type { ChatOptions } from "../chat/render-chat.js";
import { encodeChat, requireChatTemplate } from "../chat/encode-chat.js";
import type { Model } from "../model.js";

/** The model's chat template renders messages. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

export interface PromptOptions {
  /**
   * Puts special tokens (such as begin-of-text) around text. A conversation's come from its template.
   * @default as the tokenizer's own configuration says
   */
  readonly addSpecialTokens?: boolean;
  readonly chat?: ChatOptions;
}

/**
 * Tokens of text and ids. Messages are only checked; the returned function renders them, because it imports the engine.
 * Throws an OptionError for an illegal prompt, and a TemplateError if there is no template.
 */
export function preparePrompt(
  model: Model,
  prompt: Prompt,
  options: PromptOptions,
): readonly number[] | (() => Promise<readonly number[]>) {
  const given = prompt as Prompt | null | undefined;
  if (given === undefined || given === null) throw emptyPrompt();
  if (!isConversation(prompt)) return encodePrompt(model, prompt, options);
  const messages = checkMessages(prompt);
  const { tokenizer } = model;
  requireChatTemplate(tokenizer, options.chat);
  return () => encodeChat(tokenizer, messages, options.chat);
}

export async function readPrompt(
  model: Model,
  prompt: Prompt,
  options: PromptOptions = {},
): Promise<readonly number[]> {
  const ids = preparePrompt(model, prompt, options);
  return typeof ids === "function" ? ids() : ids;
}

/** An empty list counts as token ids. */
export function isConversation(prompt: Prompt): prompt is readonly ChatMessage[] {
  return typeof prompt !== "string" && typeof prompt[0] === "object";
}

/** Characters of a text for each token of the context: more are refused before they are encoded. Prose has 3 to 5. */
const CHARACTERS_PER_TOKEN = 16;

/** Throws an OptionError if there are no tokens, and a ModelError for a text that cannot fit the context. */
function encodePrompt(
  model: Model,
  prompt: string | readonly number[],
  { addSpecialTokens }: Pick<PromptOptions, "addSpecialTokens">,
): readonly number[] {
  const limit = model.config.maxPositionEmbeddings;
  if (typeof prompt === "string" && prompt.length > CHARACTERS_PER_TOKEN * limit) {
    const found = `${prompt.length} characters do not fit the context of ${limit} tokens`;
    throw new ModelError("context-overflow", `generate: ${found}; shorten the prompt`, { limit });
  }
  const ids =
    typeof prompt === "string"
      ? model.tokenizer.encode(prompt, addSpecialTokens === undefined ? {} : { addSpecialTokens })
      : prompt;
  if (ids.length > 0) return ids;
  const { bosTokenId, eosTokenIds } = model.config;
  const start = bosTokenId ?? eosTokenIds[0];
  if (typeof prompt === "string" && start !== undefined) return [start]; // an empty text begins a new document
  throw emptyPrompt();
}

function emptyPrompt(): OptionError {
  return new OptionError("prompt-empty", "generate: the prompt has no tokens; give a text or at least one token id");
}
