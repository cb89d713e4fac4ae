/**
 * A conversation as token ids: mark the contents, render the template, split at the control tokens that the template
 * wrote, encode. Special tokens come from the template alone, as in transformers. A control token spelled out inside a
 * message, a tool or a document stays text.
 */
import { TemplateError } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { ChatTokenizer } from "./control-tokens.js";
import { type ChatMessage, checkMessages } from "./messages.js";
import type { ChatOptions, ChatTemplate } from "./render-chat.js";

/**
 * Renders by the tokenizer's own template or `options.template`. Throws an OptionError for malformed messages, and a
 * TemplateError if there is no template or it cannot be rendered.
 */
export async function encodeChat(
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<number[]> {
  const template = requireChatTemplate(tokenizer, options);
  checkMessages(messages);
  const { renderParts } = await import("./control-tokens.js"); // loaded for the first conversation
  const parts = await renderParts(tokenizer, template, messages, options);
  await giveTurn();
  return tokenizer.encodeParts(parts);
}

/** Throws a TemplateError if neither tokenizer nor options have one. */
export function requireChatTemplate(
  { chatTemplate }: Pick<Tokenizer, "chatTemplate">,
  { template }: Pick<ChatOptions, "template"> = {},
): ChatTemplate {
  const found = chatTemplate ?? template;
  if (found !== undefined) return found;
  throw new TemplateError(
    "template-missing",
    "chat: the model came without a chat template (chat_template in tokenizer_config.json, chat_template.jinja, or " +
      "GGUF's tokenizer.chat_template); pass one as the option template, or give a text as the prompt",
  );
}
