/**
 * Bodies of requests. Unsupported fields of OpenAI's API are refused by name unless their value means nothing; unknown
 * fields are refused too, as misspelled. Prompts become token ids: special tokens that a client's text spells out stay
 * text, and special tokens come from the chat template and the tokenizer's configuration. What cannot fit the context
 * is refused by its length, before anything is computed from it.
 */
import { z } from "zod";
import { type ChatMessage, encodeChat, giveTurn, type Model } from "early-exits/model";
import { ApiError } from "./api-error.js";
import { servingModes } from "./ways.js";

const MOST_CHOICES = 8;
const MOST_STOPS = 4;
const MOST_LOGPROBS = 20;
/** Characters of a prompt per token of the context; more are refused. Prose has 3 to 5 characters per token. */
const CHARACTERS_PER_TOKEN = 16;

/** A field that is legal only with values that change nothing. */
const onlyNeutral = (neutral: (value: unknown) => boolean): z.ZodOptional =>
  z
    .unknown()
    .refine((value) => value === undefined || value === null || neutral(value), "is not supported")
    .optional();
const only = (...values: readonly unknown[]): z.ZodOptional => onlyNeutral((value) => values.includes(value));
const zero = only(0);
const no = only(false);
const hint = onlyNeutral((value) => typeof value === "string"); // says nothing about the answer
const empty = onlyNeutral((value) => typeof value === "object" && Object.keys(value as object).length === 0);

const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);
const userName = optional(z.string().max(256));

const common = {
  model: z.string(),
  max_tokens: optional(z.int().min(0)),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)),
  n: optional(z.int().min(1).max(MOST_CHOICES)),
  seed: optional(z.int().min(0)),
  stop: optional(z.union([z.string().min(1), z.array(z.string().min(1)).max(MOST_STOPS)])),
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()), include_obfuscation: no })),
  user: userName,
  safety_identifier: userName,
  // Beyond OpenAI's API.
  mode: optional(z.enum(servingModes)),
  top_k: optional(z.int().min(0)),
  min_p: optional(z.number().min(0).max(1)),
  repetition_penalty: optional(z.number().gt(0).max(100)),
  // Not supported.
  frequency_penalty: zero,
  presence_penalty: zero,
  logit_bias: empty,
  metadata: empty,
  service_tier: only("auto", "default"),
  store: no,
  prompt_cache_key: hint,
  prompt_cache_retention: hint,
};

const content = z.union([z.string(), z.array(z.strictObject({ type: z.literal("text"), text: z.string() }))]);

const chatBody = z
  .strictObject({
    ...common,
    messages: z
      .array(
        z.strictObject({
          role: z.enum(["system", "developer", "user", "assistant"], { error: "has a role that is not supported" }),
          content,
          name: optional(z.string()),
          // Of an answer that is sent back.
          ...{ refusal: only(), audio: only(), annotations: empty, tool_calls: empty, function_call: only() },
        }),
      )
      .min(1),
    max_completion_tokens: optional(z.int().min(0)),
    logprobs: optional(z.boolean()),
    top_logprobs: optional(z.int().min(0).max(MOST_LOGPROBS)),
    tools: empty,
    tool_choice: only("none", "auto"), // without tools
    parallel_tool_calls: only(true, false), // without tools
    functions: empty,
    function_call: only("none", "auto"),
    response_format: onlyNeutral((value) => (value as { type?: unknown }).type === "text"),
    audio: only(),
    modalities: onlyNeutral((value) => Array.isArray(value) && value.join() === "text"),
    prediction: only(),
    reasoning_effort: only("none", "medium"), // for models that do not reason
    verbosity: only("medium"),
    web_search_options: only(),
  })
  .refine(({ logprobs, top_logprobs }) => logprobs === true || !top_logprobs, {
    path: ["top_logprobs"],
    error: "needs logprobs: true",
  });

const isText = (value: unknown): value is string => typeof value === "string";
const isIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);
const textBody = z.strictObject({
  ...common,
  // A union would make an error of every item of a long list.
  prompt: z.custom<string | number[] | string[] | number[][]>((value) => {
    const isList = Array.isArray(value) && value.length > 0 && (value.every(isText) || value.every(isIds));
    return isList || isText(value) || isIds(value);
  }, "expected a text, token ids, or a list of either that is not empty"),
  logprobs: optional(z.int().min(0).max(MOST_LOGPROBS)),
  echo: no,
  suffix: only(""),
  best_of: only(1),
});

export type ChatBody = z.output<typeof chatBody>;
export type TextBody = z.output<typeof textBody>;

export const parseChatBody = (json: unknown): ChatBody => parse(chatBody, json);
export const parseTextBody = (json: unknown): TextBody => parse(textBody, json);

/** Throws an ApiError that names the first field that is wrong. */
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

/** Token ids of each of a request's prompts, which may have been asked for in so many texts at most. */
export async function chatPrompts(model: Model, body: ChatBody, most: number, date: Date): Promise<number[][]> {
  requireTexts(body.n, most);
  const messages = body.messages.map(messageOf);
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  requireFit(model, "messages", Math.max(characters / CHARACTERS_PER_TOKEN, messages.length));
  await giveTurn();
  return [await encodeChat(model.tokenizer, messages, { date })];
}

function messageOf({ role, content, name }: ChatBody["messages"][number]): ChatMessage & { readonly content: string } {
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
    ...(name !== undefined && { name }),
  };
}

/** Token ids of each of a request's prompts, which may have been asked for in so many texts at most. */
export async function textPrompts(model: Model, { prompt, n }: TextBody, most: number) {
  const prompts = isText(prompt) || isIds(prompt) ? [prompt] : prompt;
  requireTexts((n ?? 1) * prompts.length, most);
  for (const one of prompts) requireFit(model, "prompt", isText(one) ? one.length / CHARACTERS_PER_TOKEN : one.length);
  const encoded: (readonly number[])[] = [];
  for (const one of prompts) encoded.push(isText(one) ? await encodeText(model, one) : one);
  return encoded;
}

function requireTexts(texts = 1, most: number): void {
  if (texts <= most) return;
  const message = `the request is for ${texts} texts, and the server takes ${most} at a time; ask for fewer`;
  throw new ApiError(400, message, "too_many_texts", "n");
}

function requireFit({ config }: Model, param: string, tokens: number): void {
  const { maxPositionEmbeddings: context } = config;
  if (tokens <= context) return;
  const message = `${param}: at least ${Math.ceil(tokens)} tokens do not fit the context of ${context}; shorten it`;
  throw new ApiError(400, message, "context_length_exceeded", param);
}

/** As `generate` encodes a text, but special tokens that are spelled out stay text. */
export async function encodeText({ tokenizer, config }: Model, text: string): Promise<readonly number[]> {
  const bare = tokenizer.encode("a", { addSpecialTokens: false });
  const framed = tokenizer.encode("a");
  const before = framed.findIndex((_, i) => bare.every((id, k) => framed[i + k] === id));
  const own = await tokenizer.encodeParts([text]);
  const ids = framed.slice(0, before).concat(own, framed.slice(before + bare.length));
  if (ids.length > 0) return ids;
  const start = config.bosTokenId ?? config.eosTokenIds[0]; // an empty text begins a new document
  if (start !== undefined) return [start];
  throw new ApiError(400, "prompt: it has no tokens", "prompt-empty", "prompt");
}
