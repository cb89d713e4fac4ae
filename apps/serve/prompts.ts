/**
 * Prompts as token ids. Special tokens that a client's text spells out stay text, in messages and text prompts alike;
 * special tokens come from the chat template and the tokenizer's configuration.
 */
import { type ChatMessage, encodeChat, type Model } from "early-exits/model";
import type { ChatBody, TextBody } from "./bodies.js";
import { ApiError } from "./api-error.js";

export function chatPrompt({ tokenizer }: Model, { messages }: ChatBody, date: Date): Promise<number[]> {
  return encodeChat(tokenizer, messages.map(messageOf), { date });
}

function messageOf({ role, content, name }: ChatBody["messages"][number]): ChatMessage {
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
    ...(name !== undefined && { name }),
  };
}

export function textPrompts(model: Model, { prompt }: TextBody): readonly (readonly number[])[] {
  if (typeof prompt === "string") return [encodeText(model, prompt)];
  if (typeof prompt[0] === "number") return [prompt as number[]];
  return (prompt as (string | number[])[]).map((one) => (typeof one === "string" ? encodeText(model, one) : one));
}

/** As `generate` encodes a text, but special tokens that are spelled out stay text. */
export function encodeText({ tokenizer, config }: Model, text: string): readonly number[] {
  const bare = tokenizer.encode("a", { addSpecialTokens: false });
  const framed = tokenizer.encode("a");
  const before = framed.findIndex((_, i) => bare.every((id, k) => framed[i + k] === id));
  const ids = [...framed.slice(0, before), ...tokenizer.encodeParts([text]), ...framed.slice(before + bare.length)];
  if (ids.length > 0) return ids;
  const start = config.bosTokenId ?? config.eosTokenIds[0]; // an empty text begins a new document
  if (start !== undefined) return [start];
  throw new ApiError(400, "prompt: it has no tokens", "prompt-empty", "prompt");
}
