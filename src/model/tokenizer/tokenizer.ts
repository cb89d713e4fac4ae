/**
 * Text to token ids and back. `huggingFaceTokenizer` reads a tokenizer.json of the BPE kind (GPT-2, GPT-NeoX, Llama)
 * and lets `@huggingface/tokenizers` encode; decoding is ours: each id is a byte string, a text is the UTF-8 of their
 * concatenation, less the leading space that a sentencepiece decoder strips. So a stream holds back at most 3 bytes (an
 * unfinished code point) and costs the same per token however long the text is. Invalid UTF-8 becomes U+FFFD as in the
 * WHATWG standard. Left out: Unigram and WordPiece, text pairs, and the cosmetic `clean_up_tokenization_spaces`, which
 * would break every round trip. Above 300 lines because a file from outside is checked field by field; the reader of
 * tokenizer.json is the second half.
 */
import { TokenError } from "../../errors.js";
import { byteSymbols, gpt2Pattern } from "./bpe.js";
import { partsEncoder, type TextParts } from "./encode-parts.js";

export interface Tokenizer {
  /** One more than the highest id. A model's embedding may have more rows (padding), never fewer. */
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Spellings of the special tokens, with their ids. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The Jinja template of conversations (see chat/), or several by name; undefined if the model came without one. */
  readonly chatTemplate?: string | Readonly<Record<string, string>> | undefined;
  /**
   * Token ids of text in pieces, without added special tokens. A string is text, whatever it spells; a number is the id
   * of a special token. So a special token that is spelled out in a string stays text.
   */
  encodeParts(parts: TextParts): number[];
  /**
   * Token ids of a text. A special token spelled out in the text becomes its id.
   * `addSpecialTokens` (default true) adds what the tokenizer's own files say: `add_bos_token` and `add_eos_token` of
   * tokenizer_config.json where present, else the template of tokenizer.json; false adds nothing.
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /**
   * Text of token ids; special tokens are left out unless `skipSpecialTokens` is false. Throws TokenError for an id
   * without a token.
   */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /**
   * Decodes token by token, without special tokens. `prefixIds` are the ids before (the prompt): a leading space is
   * stripped only where the whole text starts. decode([...prefixIds, ...ids]) = decode(prefixIds) + all pushes + flush,
   * provided decode(prefixIds) does not end inside a code point (if it does, the stream finishes that code point
   * instead of repeating its U+FFFD).
   */
  stream(prefixIds?: readonly number[]): TokenStream;
}

export interface TokenStream {
  /** The text that this id completes; "" while a code point is unfinished. */
  push(id: number): string;
  /** What is held back, as U+FFFD: call it once, after the last id. */
  flush(): string;
}

/** What decoding needs: the bytes of each id, which ids are special, and how many leading spaces of a text go. */
interface Decoder {
  bytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  readonly leadingSpaces: number;
}

/**
 * The part of the dependency that is used; its own declarations do not resolve under NodeNext (imports without
 * extension).
 */
type Dependency = new (
  tokenizer: object,
  config: object,
) => { encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] } };

const EMPTY = new Uint8Array(0);
const utf8 = new TextEncoder();
const text8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A tokenizer from the parsed contents of tokenizer.json and, optionally, tokenizer_config.json.
 * Throws TokenError `tokenizer-malformed` or `tokenizer-unsupported`.
 */
export async function huggingFaceTokenizer(tokenizerJson: unknown, tokenizerConfig: unknown = {}): Promise<Tokenizer> {
  const file = record("tokenizer.json", tokenizerJson);
  const config = record("tokenizer_config.json", tokenizerConfig ?? {});
  const { vocab, merges, model } = readModel(file["model"]);
  const added = readAddedTokens(file["added_tokens"] ?? []);
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of vocab) tokens[id] = token;
  for (const { content, id } of added) tokens[id] = content;
  const decoder = readDecoder(file["decoder"], tokens, added);
  const idOf = (token: string): number | undefined =>
    added.find((entry) => entry.content === token)?.id ?? vocab.get(token);

  const { before, after } = readTemplate(file["post_processor"] ?? null);
  const conventional = (...names: string[]): number | undefined =>
    added.find((entry) => entry.special && names.includes(entry.content))?.id;
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
  const prefix = withFlag(config, "add_bos_token", before, bosTokenId);
  const suffix = withFlag(config, "add_eos_token", after, eosTokenId);

  const Encoder = await importEncoder();
  const encoderWithPrefix = (prefixOfSpecial: string): ((text: string) => number[]) => {
    const encoder = createEncoder(Encoder, {
      normalizer: file["normalizer"] ?? null,
      pre_tokenizer: exactPreTokenizer(file["pre_tokenizer"] ?? null, merges, model),
      post_processor: null,
      decoder: null,
      added_tokens: withPrefix(file["added_tokens"], prefixOfSpecial),
      model,
    });
    return (text) => encoder.encode(text, { add_special_tokens: false }).ids;
  };
  const encode = encoderWithPrefix("");
  const specialTokens = new Map(added.filter(({ special }) => special).map(({ content, id }) => [content, id]));
  const unknown = model["unk_token"];
  return {
    vocabSize: tokens.length,
    bosTokenId,
    eosTokenId,
    specialTokens,
    chatTemplate: readChatTemplate(config["chat_template"]),
    encodeParts: partsEncoder({
      specialTokens,
      encode,
      encoderWithPrefix,
      unknownId: typeof unknown === "string" ? idOf(unknown) : undefined,
    }),
    encode: (text, { addSpecialTokens = true } = {}) =>
      addSpecialTokens ? prefix.concat(encode(text), suffix) : encode(text),
    ...decoding(decoder),
  };
}

/**
 * Bytes as tokens, for lessons and tests: ids 0..255 are the bytes of UTF-8, 256 is <|endoftext|> (begin and end),
 * never added by itself.
 */
export function byteTokenizer(): Tokenizer {
  const endOfText = utf8.encode("<|endoftext|>");
  const bytes = (id: number): Uint8Array => {
    if (!Number.isInteger(id) || id < 0 || id > 256) throw idError(id, 257);
    return id === 256 ? endOfText : Uint8Array.of(id);
  };
  return {
    vocabSize: 257,
    bosTokenId: 256,
    eosTokenId: 256,
    specialTokens: new Map([["<|endoftext|>", 256]]),
    encodeParts: (parts) =>
      parts.flatMap((part) => (typeof part === "number" ? [part] : Array.from(utf8.encode(part)))),
    encode: (text) => Array.from(utf8.encode(text)),
    ...decoding({ bytes, isSpecial: (id) => id === 256, leadingSpaces: 0 }),
  };
}

// Decoding
// ------------------------------------------------------------------------------------------------------------------------

function decoding(decoder: Decoder): Pick<Tokenizer, "decode" | "stream"> {
  const whole: string[] = []; // texts of ids that end where a code point ends, decoded once
  return {
    decode(ids, { skipSpecialTokens = true } = {}) {
      return text8.decode(concatenate(ids.map(byteReader(decoder, skipSpecialTokens))));
    },
    stream(prefixIds = []) {
      const read = byteReader(decoder, true);
      let held = EMPTY; // an unfinished code point, at most 3 bytes
      const push = (id: number): string => {
        const own = read(id);
        if (held.length === 0 && completeLength(own) === own.length) {
          // nearly always
          return own.length === decoder.bytes(id).length ? (whole[id] ??= text8.decode(own)) : text8.decode(own);
        }
        const bytes = concatenate([held, own]);
        const end = completeLength(bytes);
        held = bytes.slice(end);
        return text8.decode(bytes.subarray(0, end));
      };
      for (const id of prefixIds) push(id);
      return {
        push,
        flush() {
          const rest = text8.decode(held);
          held = EMPTY;
          return rest;
        },
      };
    },
  };
}

/** Bytes of one id after another, without the leading spaces of the text. */
function byteReader(decoder: Decoder, skipSpecialTokens: boolean): (id: number) => Uint8Array {
  let spaces = decoder.leadingSpaces;
  return (id) => {
    const bytes = decoder.bytes(id);
    if (skipSpecialTokens && decoder.isSpecial(id)) return EMPTY;
    let start = 0;
    while (spaces > 0 && start < bytes.length) {
      if (bytes[start] === 0x20) {
        start++;
        spaces--;
      } else {
        spaces = 0;
      }
    }
    return bytes.subarray(start);
  };
}

/**
 * Length without the unfinished code point at the end. A cut before a lead byte never changes what a UTF-8 decoder
 * makes of either side, even in invalid text, so the pieces decode to the same string as the whole.
 */
function completeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte >= 0x80 && byte < 0xc0) continue; // a continuation byte: the lead byte is further back
    const needed = byte < 0xc2 || byte > 0xf4 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return needed > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

function idError(id: number, vocabSize: number): TokenError {
  return new TokenError(
    "token-id-range",
    `decode: no token has id ${id}; legal ids are the integers in [0, ${vocabSize - 1}] that the vocabulary names`,
    { id, vocabSize },
  );
}

// Reading tokenizer.json
// ----------------------------------------------------------------------------------------------------------

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * The decoder of the file as a rule from token to bytes: "ByteLevel" (each character stands for a byte), or
 * sentencepiece's sequence of Replace, ByteFallback ("<0x0A>" is a byte), Fuse and Strip (of leading spaces of the
 * whole text).
 */
function readDecoder(value: unknown, tokens: readonly (string | undefined)[], added: readonly AddedToken[]): Decoder {
  const steps = decoderSteps(value);
  const byteLevel = steps.some((step) => step["type"] === "ByteLevel");
  const byteFallback = steps.some((step) => step["type"] === "ByteFallback");
  const replacements: [string, string][] = [];
  let leadingSpaces = 0;
  let fused = false;
  for (const [i, step] of steps.entries()) {
    const where = `decoder step ${i + 1} of ${steps.length}`;
    const pattern = step["type"] === "Replace" ? record(`${where}.pattern`, step["pattern"])["String"] : undefined;
    if (step["type"] === "Replace" && !fused && typeof pattern === "string" && typeof step["content"] === "string") {
      replacements.push([pattern, step["content"]]);
    } else if (step["type"] === "Fuse") {
      fused = true;
    } else if (step["type"] === "Strip" && fused && step["content"] === " " && Number(step["stop"] ?? 0) === 0) {
      leadingSpaces = Number(step["start"] ?? 0);
    } else if (!(step["type"] === "ByteLevel" && steps.length === 1) && !(step["type"] === "ByteFallback" && !fused)) {
      throw unsupported(
        where,
        JSON.stringify(step),
        "ByteLevel alone, or Replace of a string, ByteFallback, Fuse, Strip of leading spaces, in this order",
      );
    }
  }
  const byteOf = new Map(byteSymbols.map((symbol, byte) => [symbol, byte]));
  const specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
  const addedIds = new Set(added.map((token) => token.id));
  const compute = (token: string, id: number): Uint8Array => {
    if (byteLevel) {
      const bytes = addedIds.has(id) ? [undefined] : Array.from(token, (character) => byteOf.get(character));
      return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8.encode(token);
    }
    const replaced = replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token);
    const fallback = byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(replaced)?.[1] : undefined;
    return fallback === undefined ? utf8.encode(replaced) : Uint8Array.of(parseInt(fallback, 16));
  };
  const computed: (Uint8Array | undefined)[] = [];
  const bytes = (id: number): Uint8Array => {
    const token = tokens[id];
    if (token === undefined) throw idError(id, tokens.length);
    return (computed[id] ??= compute(token, id));
  };
  return { bytes, isSpecial: (id) => specialIds.has(id), leadingSpaces };
}

function decoderSteps(value: unknown): Record<string, unknown>[] {
  const decoder = record("decoder", value);
  return decoder["type"] === "Sequence"
    ? list("decoder.decoders", decoder["decoders"]).flatMap(decoderSteps)
    : [decoder];
}

/** Checks the BPE model; `model` is what the dependency gets, where the type may not be left out as old files do. */
function readModel(value: unknown): {
  vocab: Map<string, number>;
  merges: [string, string][];
  model: Record<string, unknown>;
} {
  const model = { type: "BPE", ...record("model", value) } as Record<string, unknown>;
  if (model["type"] !== "BPE") throw unsupported("model.type", JSON.stringify(model["type"]), '"BPE"');
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if ((model[key] ?? "") !== "") {
      throw unsupported(`model.${key}`, JSON.stringify(model[key]), "null or an empty string");
    }
  }
  const vocab = new Map<string, number>();
  const owner: (string | undefined)[] = [];
  for (const [token, id] of Object.entries(record("model.vocab", model["vocab"]))) {
    vocab.set(token, legalId(`model.vocab[${JSON.stringify(token)}]`, id));
    const other = owner[id as number];
    if (other !== undefined) {
      throw malformed(
        "model.vocab",
        `id ${String(id)} for both ${JSON.stringify(other)} and ${JSON.stringify(token)}`,
        "one token per id",
      );
    }
    owner[id as number] = token;
  }
  const merges = list("model.merges", model["merges"]).map((merge, i): [string, string] => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw malformed(`model.merges[${i}]`, JSON.stringify(merge), 'two tokens, as "a b" or ["a", "b"]');
    }
    const [a, b] = pair as [unknown, unknown];
    for (const token of [a, b, `${String(a)}${String(b)}`]) {
      if (typeof token !== "string" || !vocab.has(token)) {
        throw malformed(
          `model.merges[${i}]`,
          `${JSON.stringify(token)}, which model.vocab lacks`,
          "tokens of the vocabulary",
        );
      }
    }
    return [a as string, b as string];
  });
  const unknown = model["unk_token"] ?? null;
  if (unknown !== null && !(typeof unknown === "string" && vocab.has(unknown))) {
    throw malformed("model.unk_token", JSON.stringify(unknown), "null or a token of model.vocab");
  }
  return { vocab, merges, model };
}

function readAddedTokens(value: unknown): AddedToken[] {
  return list("added_tokens", value).map((entry, i) => {
    const token = record(`added_tokens[${i}]`, entry);
    const content = token["content"];
    if (typeof content !== "string" || content === "") {
      throw malformed(`added_tokens[${i}].content`, JSON.stringify(content), "a non-empty string");
    }
    return { id: legalId(`added_tokens[${i}].id`, token["id"]), content, special: token["special"] === true };
  });
}

/** The special tokens that the post-processor puts before and after a text. */
function readTemplate(value: unknown): { before: number[]; after: number[] } {
  const before: number[] = [];
  const after: number[] = [];
  if (value === null) return { before, after };
  const processor = record("post_processor", value);
  if (processor["type"] === "Sequence") {
    for (const inner of list("post_processor.processors", processor["processors"]).map(readTemplate)) {
      before.unshift(...inner.before);
      after.push(...inner.after);
    }
  } else if (processor["type"] === "TemplateProcessing") {
    const table = record("post_processor.special_tokens", processor["special_tokens"]);
    let side = before;
    for (const item of list("post_processor.single", processor["single"])) {
      const part = record("post_processor.single", item);
      if ("Sequence" in part) {
        side = after;
      } else {
        const name = String(record("post_processor.single", part["SpecialToken"])["id"]);
        const ids = list(
          `post_processor.special_tokens.${name}.ids`,
          record(`post_processor.special_tokens.${name}`, table[name])["ids"],
        );
        side.push(...ids.map((id) => legalId(`post_processor.special_tokens.${name}.ids`, id)));
      }
    }
  } else if (processor["type"] !== "ByteLevel") {
    throw unsupported(
      "post_processor.type",
      JSON.stringify(processor["type"]),
      "null, ByteLevel, TemplateProcessing or a Sequence of them",
    );
  }
  return { before, after };
}

/**
 * The id of `bos_token` or `eos_token` in the configuration (a string, or an object with `content`); `otherwise` where
 * it has none.
 */
function namedToken(
  config: Record<string, unknown>,
  key: string,
  idOf: (token: string) => number | undefined,
  otherwise: number | undefined,
): number | undefined {
  const value = config[key];
  if (value === undefined) return otherwise;
  if (value === null) return undefined;
  const token = typeof value === "string" ? value : record(`tokenizer_config.json ${key}`, value)["content"];
  const id = typeof token === "string" ? idOf(token) : undefined;
  if (id === undefined) {
    throw malformed(`tokenizer_config.json ${key}`, JSON.stringify(value), "a token of tokenizer.json, or null");
  }
  return id;
}

/** Applies add_bos_token or add_eos_token: true puts the id there, false removes it, absent leaves the template. */
function withFlag(
  config: Record<string, unknown>,
  key: string,
  ids: readonly number[],
  id: number | undefined,
): number[] {
  const flag = config[key];
  if (flag === false) return ids.filter((other) => other !== id);
  if (flag !== true || (id !== undefined && ids.includes(id))) return [...ids];
  if (id === undefined) {
    throw malformed(
      `tokenizer_config.json ${key}`,
      "true, but no such token",
      `false, or name the token as ${key.slice(4)}`,
    );
  }
  return key === "add_bos_token" ? [id, ...ids] : [...ids, id];
}

/**
 * The pre-tokenizer that the dependency gets. Two changes, neither of which changes an id that Hugging Face's Rust
 * library gives: GPT-2's pattern is written out, because the dependency's built-in copy uses JavaScript's white space
 * (see bpe.ts); and a sentencepiece text, otherwise one word of its whole length, is cut before each run of "▁" where
 * no merge joins across such a cut (then merges left and right of it cannot meet), which lets the dependency's cache of
 * words work.
 */
function exactPreTokenizer(
  value: unknown,
  merges: readonly (readonly [string, string])[],
  model: Record<string, unknown>,
): unknown {
  const split = (pattern: string): object => ({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  });
  if (value === null) {
    const joinsAcross = model["ignore_merges"] === true || merges.some(([a, b]) => /[^▁]▁/u.test(a + b));
    return joinsAcross ? null : split("(?<=[^▁])(?=▁)");
  }
  const step = record("pre_tokenizer", value);
  if (step["type"] === "Sequence") {
    return {
      ...step,
      pretokenizers: list("pre_tokenizer.pretokenizers", step["pretokenizers"]).map((inner) =>
        exactPreTokenizer(inner, merges, model),
      ),
    };
  }
  if (step["type"] !== "ByteLevel" || step["use_regex"] === false || step["add_prefix_space"] === true) return step;
  return { type: "Sequence", pretokenizers: [split(gpt2Pattern), { ...step, use_regex: false }] };
}

/** Puts a prefix before the spelling of every special token in `added_tokens`. */
function withPrefix(addedTokens: unknown, prefix: string): unknown[] {
  const tokens = list("added_tokens", addedTokens ?? []);
  if (prefix === "") return tokens;
  return tokens.map((entry, i) => {
    const token = record(`added_tokens[${i}]`, entry);
    return token["special"] === true ? { ...token, content: prefix + String(token["content"]) } : token;
  });
}

/** `chat_template` of tokenizer_config.json: a template, or a list of `{ name, template }`. */
function readChatTemplate(value: unknown): Tokenizer["chatTemplate"] {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  const where = "tokenizer_config.json chat_template";
  const templates = list(where, value).map((entry, i): [string, string] => {
    const { name, template } = record(`${where}[${i}]`, entry);
    if (typeof name !== "string" || typeof template !== "string") {
      throw malformed(`${where}[${i}]`, JSON.stringify(entry), "a name and a template, both strings");
    }
    return [name, template];
  });
  return Object.fromEntries(templates);
}

/** Imported when a tokenizer is read: it would be a fifth of what importing the library loads. */
async function importEncoder(): Promise<Dependency> {
  const { Tokenizer: Encoder } = (await import("@huggingface/tokenizers")) as unknown as {
    readonly Tokenizer: Dependency;
  };
  return Encoder;
}

function createEncoder(Encoder: Dependency, file: object): InstanceType<Dependency> {
  try {
    return new Encoder(file, {});
  } catch (error) {
    throw new TokenError(
      "tokenizer-unsupported",
      `tokenizer.json: ${error instanceof Error ? error.message : String(error)}`,
      {},
      { cause: error },
    );
  }
}

function record(where: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(where, describe(value), "an object");
  }
  return value as Record<string, unknown>;
}

function list(where: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw malformed(where, describe(value), "an array");
  return value;
}

/** Ids index arrays, so a wild one must not pass: 2^24 is far above any vocabulary. */
function legalId(where: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= 2 ** 24) {
    throw malformed(where, JSON.stringify(value), "an integer in [0, 2^24)");
  }
  return value;
}

function describe(value: unknown): string {
  return value === null
    ? "null"
    : Array.isArray(value)
      ? "an array"
      : value === undefined
        ? "nothing"
        : `a ${typeof value}`;
}

function malformed(where: string, found: string, legal: string): TokenError {
  return new TokenError("tokenizer-malformed", `${where}: found ${found}; expected ${legal}`, { where, found });
}

function unsupported(where: string, found: string, legal: string): TokenError {
  return new TokenError("tokenizer-unsupported", `${where}: found ${found}; supported is ${legal}`, { where, found });
}
