/**
 * A conversation as token ids: mark the contents, render the template, split at the control tokens that the template
 * wrote, encode. Special tokens come from the template alone, as in transformers. A control token spelled out inside a
 * message, a tool or a document stays text.
 */
import { TemplateError } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import type { TextParts, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ControlTokens } from "./control-tokens.js";
import { type ChatMessage, checkMessages } from "./messages.js";
import { type ChatOptions, type ChatTemplate, renderChat, type TokenSpellings } from "./render-chat.js";

type ChatTokenizer = Pick<
  Tokenizer,
  "bosTokenId" | "chatTemplate" | "decode" | "encodeParts" | "eosTokenId" | "specialTokens"
>;

const controlTokens = new WeakMap<ChatTokenizer, ControlTokens>();

/**
 * Renders by the tokenizer's own template or `options.template`. Throws an OptionError for malformed messages, and a
 * TemplateError if there is no template or it cannot be rendered.
 */
export async function encodeChat(
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<number[]> {
  const parts = await renderParts(tokenizer, messages, options);
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

async function renderParts(
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): Promise<TextParts> {
  const template = requireChatTemplate(tokenizer, options);
  const { ControlTokens, unusedMark } = await import("./control-tokens.js"); // loaded for the first conversation
  const control = controlTokens.get(tokenizer) ?? new ControlTokens(tokenizer.specialTokens);
  controlTokens.set(tokenizer, control);
  const mark = unusedMark(checkMessages(messages), template, options);
  const marked = messages.map((message) => ({ ...control.mark(message, mark), role: message.role }));
  await giveTurn(); // a message may have a megabyte
  const rendered = await renderChat(template, marked, {
    ...options,
    ...spellings(tokenizer),
    tools: control.mark(options.tools, mark),
    documents: control.mark(options.documents, mark),
  });
  await giveTurn();
  return control.split(rendered, mark);
}

function spellings({ bosTokenId, eosTokenId, decode }: ChatTokenizer): TokenSpellings {
  const spelling = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : decode([id], { skipSpecialTokens: false });
  return { bosToken: spelling(bosTokenId), eosToken: spelling(eosTokenId) };
}
