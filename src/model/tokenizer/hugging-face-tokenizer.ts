/**
 * BPE tokenizers (GPT-2, GPT-NeoX, Llama) from tokenizer.json. Sections are checked here; `@huggingface/tokenizers`
 * cuts texts into words, encode-words.ts encodes these, decoding.ts decodes. Left out: Unigram, WordPiece and text
 * pairs.
 */
import { type Budgets, budgetsWith } from "../../budgets.js";
import type { CancelSignal } from "../../cancel-signal.js";
import { EarlyExitError, TokenError } from "../../errors.js";
import { shown } from "../../shown.js";
import { atOnce, giveTurn, type InParts, inTurns } from "../../turns.js";
import { decoding } from "./decoding.js";
import { wordEncoder } from "./encode-words.js";
import { list, malformed, record, tokenId, unsupported } from "./fields.js";
import { readTokenBytes } from "./token-bytes.js";
import type { TextParts, Tokenizer } from "./tokenizer.js";
import { type AddedToken, readAddedTokens, readBpeModel } from "./vocabulary.js";

export interface TokenizerOptions {
  readonly signal?: CancelSignal | undefined;
  /** Raised limits, for trusted files. @default defaultBudgets */
  readonly budgets?: Partial<Budgets> | undefined;
}

// The chat template in tokenizer_config.json: a template, or a list of `{ name, template }`.

function readChatTemplate(value: unknown): Tokenizer["chatTemplate"] {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  const where = "tokenizer_config.json chat_template";
  const templates = list(where, value).map((entry, i): [string, string] => {
    const { name, template } = record(`${where}[${i}]`, entry);
    if (typeof name !== "string" || typeof template !== "string") {
      throw malformed(`${where}[${i}]`, shown(entry), "a name and a template, both strings");
    }
    return [name, template];
  });
  return Object.fromEntries(templates);
}

// Encoding in which the caller, not the spelling, decides what is a control token. If a text spells one, it is encoded
// again by a tokenizer whose special tokens begin with an unpaired surrogate: no valid text contains one, so only the
// caller's match, and everything around them (added tokens, normalisation, stripping) is as ever.

/** An unpaired surrogate. */
const MARK = "\uDBFF";

type TextEncoding = (text: string) => InParts<number[]>;

interface PartsEncoderOptions {
  /** Ids by spelling. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Spelled-out special tokens become their ids. */
  readonly encode: TextEncoding;
  /** An encoder with this before the spelling of every special token. */
  readonly encoderWithPrefix: (prefix: string) => TextEncoding;
  /** May come from text. */
  readonly unknownId: number | undefined;
}

function partsEncoder(options: PartsEncoderOptions): (parts: TextParts) => InParts<number[]> {
  const { specialTokens, encode, encoderWithPrefix, unknownId } = options;
  const spellings = new Map(Array.from(specialTokens, ([spelling, id]) => [id, spelling]));
  const controlIds = new Set(spellings.keys());
  if (unknownId !== undefined) controlIds.delete(unknownId);
  let prefixed: TextEncoding | undefined; // made when a text spells out a control token

  return function* (parts) {
    const wanted = parts.filter((part) => typeof part === "number" && controlIds.has(part));
    const hasJustThese = (ids: readonly number[]): boolean => {
      const found = ids.filter((id) => controlIds.has(id));
      return found.length === wanted.length && found.every((id, i) => id === wanted[i]);
    };
    const joined = (prefix: string): string =>
      parts
        .map((part) => (typeof part === "number" ? prefix + spellingOf(spellings, part) : wellFormed(part)))
        .join("");

    const ids = yield* encode(joined(""));
    yield;
    if (hasJustThese(ids)) return ids;
    prefixed ??= encoderWithPrefix(MARK);
    yield;
    const exact = yield* prefixed(joined(MARK));
    if (hasJustThese(exact)) return exact;
    throw new TokenError(
      "control-token-merged",
      "encodeParts: the vocabulary joins ordinary text to a special token, so that text cannot be told from it; use " +
        "a tokenizer whose special tokens are no products of merges",
    );
  };
}

/** Unpaired surrogates become U+FFFD, as in UTF-8. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

function spellingOf(spellings: ReadonlyMap<number, string>, id: number): string {
  const spelling = spellings.get(id);
  if (spelling === undefined) {
    throw new TokenError(
      "token-not-special",
      `encodeParts: ${id} is not the id of a special token; give text instead`,
      { id },
    );
  }
  return spelling;
}

// Special tokens around a text. tokenizer.json's "post_processor" has a template; tokenizer_config.json may name
// bos_token and eos_token, and overrule it by add_bos_token and add_eos_token.

interface SpecialTokens {
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** `idOf` looks among added tokens and vocabulary. */
function readSpecialTokens(
  postProcessor: unknown,
  config: Readonly<Record<string, unknown>>,
  added: readonly AddedToken[],
  idOf: (token: string) => number | undefined,
): SpecialTokens {
  const { before, after } = readTemplate(postProcessor);
  const conventional = (...names: string[]): number | undefined =>
    added.find(({ special, content }) => special && names.includes(content))?.id;
  const bosTokenId = namedToken(
    config,
    "bos_token",
    idOf,
    before[0] ?? conventional("<s>", "<|begin_of_text|>", "<|endoftext|>"),
  );
  const eosTokenId = namedToken(
    config,
    "eos_token",
    idOf,
    after.at(-1) ?? conventional("</s>", "<|end_of_text|>", "<|endoftext|>"),
  );
  return {
    bosTokenId,
    eosTokenId,
    prefix: withFlag(config, "add_bos_token", before, bosTokenId),
    suffix: withFlag(config, "add_eos_token", after, eosTokenId),
  };
}

interface Template {
  readonly before: number[];
  readonly after: number[];
}

function readTemplate(value: unknown): Template {
  const template: Template = { before: [], after: [] };
  if (value === null) return template;
  const processor = record("post_processor", value);
  switch (processor["type"]) {
    case "Sequence":
      for (const inner of list("post_processor.processors", processor["processors"]).map(readTemplate)) {
        template.before.unshift(...inner.before);
        template.after.push(...inner.after);
      }
      break;
    case "TemplateProcessing":
      fillTemplate(template, processor);
      break;
    case "ByteLevel":
      break;
    default:
      throw unsupported(
        "post_processor.type",
        shown(processor["type"]),
        "null, ByteLevel, TemplateProcessing or a Sequence of them",
      );
  }
  return template;
}

/** "single": special tokens, the text ("Sequence"), special tokens. */
function fillTemplate({ before, after }: Template, processor: Readonly<Record<string, unknown>>): void {
  const table = record("post_processor.special_tokens", processor["special_tokens"]);
  let side = before;
  for (const item of list("post_processor.single", processor["single"])) {
    const part = record("post_processor.single", item);
    if ("Sequence" in part) {
      side = after;
      continue;
    }
    const name = String(record("post_processor.single", part["SpecialToken"])["id"]);
    const where = `post_processor.special_tokens.${name}`;
    const ids = list(`${where}.ids`, record(where, table[name])["ids"]);
    side.push(...ids.map((id) => tokenId(() => `${where}.ids`, id)));
  }
}

/**
 * Id of `bos_token` or `eos_token` (a string, or an object with `content`); `fallback` if absent, undefined if null.
 */
function namedToken(
  config: Readonly<Record<string, unknown>>,
  key: "bos_token" | "eos_token",
  idOf: (token: string) => number | undefined,
  fallback: number | undefined,
): number | undefined {
  const value = config[key];
  if (value === undefined) return fallback;
  if (value === null) return undefined;
  const token = typeof value === "string" ? value : record(`tokenizer_config.json ${key}`, value)["content"];
  const id = typeof token === "string" ? idOf(token) : undefined;
  if (id === undefined) {
    throw malformed(`tokenizer_config.json ${key}`, shown(value), "a token of tokenizer.json, or null");
  }
  return id;
}

/** add_bos_token or add_eos_token: true puts the id, false removes it, absent leaves the template. */
function withFlag(
  config: Readonly<Record<string, unknown>>,
  key: "add_bos_token" | "add_eos_token",
  ids: readonly number[],
  id: number | undefined,
): number[] {
  const flag = config[key];
  if (flag === false) return ids.filter((other) => other !== id);
  if (flag !== true || (id !== undefined && ids.includes(id))) return [...ids];
  if (id === undefined) {
    const legal = `false, or name the token as ${key.slice("add_".length)}`;
    throw malformed(`tokenizer_config.json ${key}`, "true, but no such token", legal);
  }
  return key === "add_bos_token" ? [id, ...ids] : [...ids, id];
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
  const { exactPreTokenizer, requireBoundedSections } = await import("./pre-tokenizer.js"); // as late as the dependency
  requireBoundedSections(file, budgetsWith(budgets));
  await giveTurn(signal);
  const config = record("tokenizer_config.json", tokenizerConfig ?? {});
  const model = await readBpeModel(file["model"], signal);
  await giveTurn(signal);
  const added = readAddedTokens(file["added_tokens"] ?? []);

  const idOf = (token: string): number | undefined =>
    added.find(({ content }) => content === token)?.id ?? model.vocab.idOf(token);

  const tokenBytes = readTokenBytes(file["decoder"], model.vocab.tokens, added);
  const special = readSpecialTokens(file["post_processor"] ?? null, config, added, idOf);
  const HuggingFaceEncoder = await importEncoder();
  const encodeWords = wordEncoder(model);
  const encoderWithPrefix = (prefix: string): TextEncoding => {
    const cut = textCutter(HuggingFaceEncoder, {
      normalizer: file["normalizer"] ?? null,
      pre_tokenizer: exactPreTokenizer(file["pre_tokenizer"] ?? null, model),
      post_processor: null,
      decoder: null,
      added_tokens: withPrefix(prefix, file["added_tokens"] ?? []),
      model: { type: "BPE", vocab: {}, merges: [] },
    });
    return function* (text) {
      const ids: number[] = [];
      for (const piece of cut(text)) {
        yield;
        if (typeof piece === "number") ids.push(piece);
        else for (const id of yield* encodeWords(piece)) ids.push(id);
      }
      return ids;
    };
  };
  await giveTurn(signal);
  const encodeText = encoderWithPrefix("");
  const encode = (text: string): number[] => atOnce(encodeText(text));
  await giveTurn(signal);
  const specialTokens = new Map(added.filter(({ special }) => special).map(({ content, id }) => [content, id]));
  const unknown = model.section["unk_token"];
  const encodeParts = partsEncoder({
    specialTokens,
    encode: encodeText,
    encoderWithPrefix,
    unknownId: typeof unknown === "string" ? idOf(unknown) : undefined,
  });
  return {
    vocabSize: tokenBytes.size,
    bosTokenId: special.bosTokenId,
    eosTokenId: special.eosTokenId,
    specialTokens,
    chatTemplate: readChatTemplate(config["chat_template"]),
    encodeParts: (parts) => inTurns(encodeParts(parts)),
    encode: (text, { addSpecialTokens = true } = {}) =>
      addSpecialTokens ? special.prefix.concat(encode(text), special.suffix) : encode(text),
    ...decoding(tokenBytes),
  };
}

/** Its own declarations do not resolve under NodeNext (imports without extension). */
type EncoderClass = new (tokenizer: object, config: object) => Encoder;

interface Encoder {
  /** Parts of a section; null leaves it whole. */
  pre_tokenizer: Cut | null;
  /** Tokens of parts. */
  model: (parts: readonly unknown[]) => readonly unknown[];
  /** By spelling. */
  readonly added_tokens_map: ReadonlyMap<string, { readonly id: number }>;
  /** Spellings of added tokens, and between them what `model` returns. */
  tokenize(text: string): readonly unknown[];
}

/** Step of a pre-tokenizer, or the sequence of its `tokenizers`. `options` say where in the text the section stands. */
interface Cut {
  (text: string, options: unknown): readonly unknown[];
  readonly tokenizers?: readonly Cut[];
  /** False if a byte-level step cuts nothing. */
  readonly use_regex?: boolean;
  readonly add_prefix_space?: boolean;
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

/** Characters of a part that has cost so much that others may take a turn. */
const LONG = 2 ** 14;
const PARTS = /.{1,16384}/gsu;

/** Returns a function that cuts a text into ids of added tokens, and the words between them, cut as they are read. */
function textCutter(HuggingFaceEncoder: EncoderClass, file: object): (text: string) => (number | Iterable<string>)[] {
  const encoder = within(() => new HuggingFaceEncoder(file, {}));
  const steps = stepsOf(encoder.pre_tokenizer);
  function* cut(text: string, options: unknown, step = 0): Generator<string, void, undefined> {
    if (step > 0 && text.length > LONG) yield "";
    const by = steps[step];
    if (by === undefined) yield text;
    else if (text.length > LONG && by.use_regex === false && !by.add_prefix_space) {
      let spelled = "";
      for (const part of text.match(PARTS)!) {
        spelled += within(() => by(part, options)).join("");
        yield "";
      }
      yield* cut(spelled, options, step + 1);
    } else for (const part of within(() => by(text, options))) yield* cut(part as string, options, step + 1);
  }
  encoder.pre_tokenizer = (text, options) => [cut(text, options)];
  encoder.model = (sections) => sections;
  const pieceOf = (token: unknown): number | Iterable<string> =>
    typeof token === "string" ? encoder.added_tokens_map.get(token)!.id : (token as Iterable<string>);
  return (text) => within(() => encoder.tokenize(text)).map(pieceOf);
}

function stepsOf(cut: Cut | null): readonly Cut[] {
  return cut === null ? [] : (cut.tokenizers?.flatMap(stepsOf) ?? [cut]);
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
