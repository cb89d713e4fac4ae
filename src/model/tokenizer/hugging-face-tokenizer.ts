/**
 * BPE tokenizers (GPT-2, GPT-NeoX, Llama) from tokenizer.json. Sections are checked here; `@huggingface/tokenizers`
 * encodes, decoding.ts decodes. Left out: Unigram, WordPiece and text pairs.
 */
import { type Budgets, budgetsWith } from "../../budgets.js";
import type { CancelSignal } from "../../cancel-signal.js";
import { EarlyExitError, TokenError } from "../../errors.js";
import { readChatTemplate } from "./chat-template.js";
import { decoding } from "./decoding.js";
import { partsEncoder } from "./encode-parts.js";
import { list, record } from "./fields.js";
import { giveTurn } from "../../turns.js";
import { exactPreTokenizer } from "./pre-tokenizer.js";
import { readSpecialTokens } from "./special-tokens.js";
import { readTokenBytes } from "./token-bytes.js";
import type { Tokenizer } from "./tokenizer.js";
import { readAddedTokens, readBpeModel } from "./vocabulary.js";

export interface TokenizerOptions {
  readonly signal?: CancelSignal | undefined;
  /** Raised limits, for trusted files. @default defaultBudgets */
  readonly budgets?: Partial<Budgets> | undefined;
}

/**
 * From parsed tokenizer.json and, optionally, tokenizer_config.json. Throws a TokenError `tokenizer-malformed` or
 * `tokenizer-unsupported`, or a BudgetError.
 */
export async function huggingFaceTokenizer(
  tokenizerJson: unknown,
  tokenizerConfig: unknown = {},
  { budgets, signal }: TokenizerOptions = {},
): Promise<Tokenizer> {
  const file = record("tokenizer.json", tokenizerJson);
  const { requireBoundedSections } = await import("./bounded/bounded-sections.js"); // as late as the dependency
  requireBoundedSections(file, budgetsWith(budgets));
  await giveTurn(signal);
  const config = record("tokenizer_config.json", tokenizerConfig ?? {});
  const model = await readBpeModel(file["model"], signal);
  await giveTurn(signal);
  const added = readAddedTokens(file["added_tokens"] ?? []);

  const tokens: (string | undefined)[] = [];
  for (const [token, id] of model.vocab) tokens[id] = token;
  for (const { content, id } of added) tokens[id] = content;
  const idOf = (token: string): number | undefined =>
    added.find(({ content }) => content === token)?.id ?? model.vocab.get(token);

  const tokenBytes = readTokenBytes(file["decoder"], tokens, added);
  const special = readSpecialTokens(file["post_processor"] ?? null, config, added, idOf);
  const HuggingFaceEncoder = await importEncoder();
  const encoderWithPrefix = (prefix: string): ((text: string) => number[]) => {
    const encoder = createEncoder(HuggingFaceEncoder, {
      normalizer: file["normalizer"] ?? null,
      pre_tokenizer: exactPreTokenizer(file["pre_tokenizer"] ?? null, model),
      post_processor: null,
      decoder: null,
      added_tokens: withPrefix(prefix, file["added_tokens"] ?? []),
      model: model.section,
    });
    return (text) => within(() => encoder.encode(text, { add_special_tokens: false }).ids);
  };
  await giveTurn(signal);
  const encode = encoderWithPrefix("");
  await giveTurn(signal);
  const specialTokens = new Map(added.filter(({ special }) => special).map(({ content, id }) => [content, id]));
  const unknown = model.section["unk_token"];
  return {
    vocabSize: tokens.length,
    bosTokenId: special.bosTokenId,
    eosTokenId: special.eosTokenId,
    specialTokens,
    chatTemplate: readChatTemplate(config["chat_template"]),
    encodeParts: partsEncoder({
      specialTokens,
      encode,
      encoderWithPrefix,
      unknownId: typeof unknown === "string" ? idOf(unknown) : undefined,
    }),
    encode: (text, { addSpecialTokens = true } = {}) =>
      addSpecialTokens ? special.prefix.concat(encode(text), special.suffix) : encode(text),
    ...decoding(tokenBytes),
  };
}

/** Its own declarations do not resolve under NodeNext (imports without extension). */
type EncoderClass = new (tokenizer: object, config: object) => Encoder;

interface Encoder {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: number[] };
}

/** Imported late: it would be a fifth of what importing the library loads. */
async function importEncoder(): Promise<EncoderClass> {
  const dependency: unknown = await import("@huggingface/tokenizers");
  return (dependency as { readonly Tokenizer: EncoderClass }).Tokenizer;
}

/** Prefixes the spelling of every special token of "added_tokens". */
function withPrefix(prefix: string, addedTokens: unknown): unknown {
  if (prefix === "") return addedTokens;
  return list("added_tokens", addedTokens).map((entry, i) => {
    const token = record(`added_tokens[${i}]`, entry);
    return token["special"] === true ? { ...token, content: prefix + String(token["content"]) } : token;
  });
}

function createEncoder(HuggingFaceEncoder: EncoderClass, file: object): Encoder {
  return within(() => new HuggingFaceEncoder(file, {}));
}

/** The dependency's errors become TokenErrors. */
function within<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof EarlyExitError) throw error;
    throw new TokenError(
      "tokenizer-unsupported",
      `tokenizer.json: ${error instanceof Error ? error.message : String(error)}`,
      {},
      { cause: error },
    );
  }
}
