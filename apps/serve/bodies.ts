/**
 * Bodies of requests. Unsupported fields of OpenAI's API are refused by name unless their value means nothing; unknown
 * fields are refused too, as misspelled. Prompts become token ids: special tokens that a client's text spells out stay
 * text, and special tokens come from the chat template and the tokenizer's configuration.
 */
import { z } from "zod";
import { type ChatMessage, encodeChat, type Model } from "early-exits/model";
import { ApiError } from "./api-error.js";
import { servingModes } from "./ways.js";

const MOST_CHOICES = 8;
const MOST_STOPS = 4;
const MOST_LOGPROBS = 20;

/** A field that is legal only with values that change nothing. */
const onlyNeutral = (neutral: (value: unknown) => boolean): z.ZodOptional =>
  z
    .unknown()
    .refine((value) => value === undefined || value === null || neutral(value), "is not supported")
    .optional();
const zero = onlyNeutral((value) => value === 0);
const no = onlyNeutral((value) => value === false);
const empty = onlyNeutral((value) => typeof value === "object" && Object.keys(value as object).length === 0);

const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const common = {
  model: z.string(),
  max_tokens: optional(z.int().min(0)),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)),
  n: optional(z.int().min(1).max(MOST_CHOICES)),
  seed: optional(z.int().min(0)),
  stop: optional(z.union([z.string().min(1), z.array(z.string().min(1)).max(MOST_STOPS)])),
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()) })),
  user: optional(z.string().max(256)),
  // Beyond OpenAI's API.
  mode: optional(z.enum(servingModes)),
  top_k: optional(z.int().min(0)),
  min_p: optional(z.number().min(0).max(1)),
  repetition_penalty: optional(z.number().gt(0).max(100)),
  // Not supported.
  frequency_penalty: zero,
  presence_penalty: zero,
  logit_bias: empty,
};

const content = z.union([z.string(), z.array(z.strictObject({ type: z.literal("text"), text: z.string() }))]);

const chatBody = z.strictObject({
  ...common,
  messages: z
    .array(
      z.strictObject({
        role: z.enum(["system", "developer", "user", "assistant"], { error: "has a role that is not supported" }),
        content,
        name: optional(z.string()),
      }),
    )
    .min(1),
  max_completion_tokens: optional(z.int().min(0)),
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(MOST_LOGPROBS)),
  tools: empty,
  tool_choice: onlyNeutral((value) => value === "none"),
  functions: empty,
  function_call: onlyNeutral((value) => value === "none"),
  response_format: onlyNeutral((value) => (value as { type?: unknown }).type === "text"),
  audio: onlyNeutral(() => false),
  modalities: onlyNeutral((value) => Array.isArray(value) && value.join() === "text"),
  store: no,
});

const ids = z.array(z.int().min(0)).min(1);
const textBody = z.strictObject({
  ...common,
  prompt: z.union([z.string(), z.array(z.string()).min(1), ids, z.array(ids).min(1)]),
  logprobs: optional(z.int().min(0).max(MOST_LOGPROBS)),
  echo: no,
  suffix: onlyNeutral((value) => value === ""),
  best_of: onlyNeutral((value) => value === 1),
});

export type ChatBody = z.output<typeof chatBody>;
export type TextBody = z.output<typeof textBody>;

/** Throws an ApiError that names the first field that is wrong. */
export function parseChatBody(json: unknown): ChatBody {
  return parse(chatBody, json);
}

/** Throws an ApiError that names the first field that is wrong. */
export function parseTextBody(json: unknown): TextBody {
  return parse(textBody, json);
}

function parse<T extends z.ZodType>(schema: T, json: unknown): z.output<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    throw new ApiError(400, `the field ${JSON.stringify(key)} is not known; leave it out`, "unknown_field", key);
  }
  const param = issue.path.join(".");
  const unsupported = issue.message.includes("not supported");
  throw new ApiError(
    400,
    `${param === "" ? "the body" : param}: ${issue.message}`,
    unsupported ? "unsupported_value" : "invalid_value",
    param === "" ? null : param,
  );
}

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
