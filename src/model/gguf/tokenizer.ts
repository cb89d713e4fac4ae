/**
 * The tokenizer in a GGUF file's metadata, as tokenizer.json: byte-level BPE ("gpt2"; `tokenizer.ggml.pre` names its
 * way of splitting text), or sentencepiece's BPE ("llama", see `sentencepieceSections`).
 */
import { requireBudget } from "../../budgets.js";
import type { CancelSignal } from "../../cancel-signal.js";
import { GgufError } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import { huggingFaceTokenizer } from "../tokenizer/hugging-face-tokenizer.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { addedToken, Vocabulary } from "../tokenizer/vocabulary.js";
import type { GgufMetadata } from "./metadata.js";

/** Token types of GGUF. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
const splitBefore = (pattern: string): object => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    { ...byteLevel, use_regex: false },
  ],
});
const WORDS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+`;
const REST = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const words = { ...byteLevel, use_regex: true };
const digitsThenWords = { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, words] };
const threeDigits = splitBefore(String.raw`${WORDS}|\p{N}{1,3}|${REST}`);
const singleDigits = splitBefore(String.raw`${WORDS}|\p{N}|${REST}`);

/** Sections by GGUF's names. Names in one group split text alike. */
const PRE_TOKENIZERS: Readonly<Record<string, object>> = {
  "gpt-2": words,
  default: words,
  jais: words,
  mpt: words,
  olmo: words,
  "phi-2": words,
  smollm: digitsThenWords,
  codeshell: digitsThenWords,
  "command-r": digitsThenWords,
  refact: digitsThenWords,
  starcoder: digitsThenWords,
  "llama-bpe": threeDigits,
  dbrx: threeDigits,
  "llama-v3": threeDigits,
  llama3: threeDigits,
  "smaug-bpe": threeDigits,
  qwen2: singleDigits,
  "deepseek-r1-qwen": singleDigits,
  stablelm2: singleDigits,
};

/** Words that are tokens stay whole, whether merges lead to them or not. */
const IGNORE_MERGES = ["llama-bpe", "llama-v3", "llama3"];

interface Kind {
  /** Normalizer, pre_tokenizer, decoder and model. */
  readonly sections: (metadata: GgufMetadata, tokens: readonly string[]) => object;
  /** Begins texts with "bos" unless the metadata says otherwise. */
  readonly addsBos: boolean;
}

// A sentencepiece BPE vocabulary ("llama" in GGUF's words) as tokenizer.json writes it. It has scores instead of
// merges: of adjacent pairs, the one whose token has the highest score is joined first. So every cut of a token into
// two is a merge, ordered by the token's score, then by the parts' ids, as in Hugging Face's conversion. Spaces are
// written "▁", characters that no token covers as bytes, "<0x0A>". Source: Kudo & Richardson 2018. Left out: Unigram,
// and normalization by a character map.

/** Work grows with the square of a token's length; real ones have at most 128 characters. */
const LONGEST = 256;

function sentencepieceSections(metadata: GgufMetadata, tokens: readonly string[]): object {
  const scores = metadata.numbers("tokenizer.ggml.scores", tokens.length);
  if (scores === undefined) {
    throw new GgufError("gguf-metadata", `${metadata.path}: "tokenizer.ggml.scores" should be one number per token`, {
      key: "tokenizer.ggml.scores",
    });
  }
  if (metadata.flag("tokenizer.ggml.remove_extra_whitespaces", false)) {
    throw new GgufError("gguf-tokenizer", `${metadata.path}: tokenizers that remove spaces are not supported`);
  }
  const vocab = new Vocabulary(tokens);
  const prefixed = metadata.flag("tokenizer.ggml.add_space_prefix", true);
  const replace = (from: string, to: string): object => ({ type: "Replace", pattern: { String: from }, content: to });
  return {
    normalizer: {
      type: "Sequence",
      normalizers: [...(prefixed ? [{ type: "Prepend", prepend: "▁" }] : []), replace(" ", "▁")],
    },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        replace("▁", " "),
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefixed ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      unk_token: tokens[metadata.number("tokenizer.ggml.unknown_token_id", 0)!],
      fuse_unk: true,
      byte_fallback: true,
      vocab,
      merges: mergesOf(vocab, tokens, scores, metadata),
    },
  };
}

/** As `BpeModel.merges`. Tokens are sorted, not cuts: most vocabularies are in the order of their scores. */
function mergesOf(
  vocab: Vocabulary,
  tokens: readonly string[],
  scores: ArrayLike<number>,
  { path, budgets }: GgufMetadata,
): Int32Array {
  const work = tokens.reduce((sum, { length }) => sum + Math.min(length, LONGEST) ** 2, 0);
  requireBudget(budgets, "mergeWork", work, `${path}: squares of the lengths of all tokens`);
  const long = tokens.findIndex(({ length }) => length > LONGEST);
  if (long >= 0) {
    throw new GgufError(
      "gguf-tokenizer",
      `${path}: token ${long} has ${tokens[long]!.length} characters, above ${LONGEST}`,
    );
  }
  const sorted = new Int32Array(tokens.length).map((_, id) => id).sort((a, b) => scores[b]! - scores[a]!);
  const addCuts = cutFinder(vocab);
  const merges = new Int32Array(3 * tokens.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (let at = 0; at < sorted.length;) {
    const begin = end;
    const score = scores[sorted[at]!];
    do end = addCuts(sorted[at++]!, merges, end);
    while (at < sorted.length && scores[sorted[at]!] === score);
    sortCuts(merges, begin, end);
  }
  return merges.subarray(0, end);
}

/** Sorts cuts by the ids of their parts: a token's few in place, those of equal scores as a list. */
function sortCuts(merges: Int32Array, begin: number, end: number): void {
  if (end - begin > 3 * LONGEST) {
    const cuts = merges.slice(begin, end);
    const order = Int32Array.from({ length: cuts.length / 3 }, (_, i) => 3 * i);
    order.sort((a, b) => cuts[a]! - cuts[b]! || cuts[a + 1]! - cuts[b + 1]!);
    order.forEach((from, i) => merges.set(cuts.subarray(from, from + 3), begin + 3 * i));
    return;
  }
  for (let cut = begin + 3; cut < end; cut += 3) {
    const [left, right, token] = [merges[cut]!, merges[cut + 1]!, merges[cut + 2]!];
    let to = cut;
    for (; to > begin && (merges[to - 3]! - left || merges[to - 2]! - right) > 0; to -= 3) {
      merges.copyWithin(to, to - 3, to);
    }
    merges[to] = left;
    merges[to + 1] = right;
    merges[to + 2] = token;
  }
}

/** Writes the ways to cut a token into two, as ids of left part, right part and token; returns where they end. */
function cutFinder(vocab: Vocabulary): (id: number, merges: Int32Array, begin: number) => number {
  const { tokens, factor } = vocab;
  const powers = new Int32Array(LONGEST).fill(1);
  for (let i = 1; i < LONGEST; i++) powers[i] = Math.imul(powers[i - 1]!, factor);
  const beginnings = new Int32Array(LONGEST + 1); // hashes
  return (id, merges, begin) => {
    const token = tokens[id]!;
    if (vocab.idOf(token) !== id) return begin; // of equal tokens, the last is joined
    const { length } = token;
    for (let i = 0; i < length; i++) beginnings[i + 1] = Math.imul(beginnings[i]!, factor) + token.charCodeAt(i);
    const whole = beginnings[length]!;
    let end = begin;
    for (let cut = 1; cut < length; cut++) {
      const left = vocab.find(beginnings[cut]!, token, 0, cut);
      if (left < 0) continue;
      const right = vocab.find((whole - Math.imul(beginnings[cut]!, powers[length - cut]!)) | 0, token, cut, length);
      if (right < 0) continue;
      merges[end++] = left;
      merges[end++] = right;
      merges[end++] = id;
    }
    return end;
  };
}

const KINDS: Readonly<Record<string, Kind>> = {
  gpt2: { sections: byteLevelSections, addsBos: false },
  llama: { sections: sentencepieceSections, addsBos: true },
};

/** undefined if the file holds none. Throws a GgufError for an unsupported kind. */
export async function ggufTokenizer(metadata: GgufMetadata, signal?: CancelSignal): Promise<Tokenizer | undefined> {
  const files = ggufTokenizerFiles(metadata);
  await giveTurn(signal);
  return files && huggingFaceTokenizer(files.tokenizer, files.config, { budgets: metadata.budgets, signal });
}

function ggufTokenizerFiles(metadata: GgufMetadata): { tokenizer: object; config: object } | undefined {
  const name = metadata.text("tokenizer.ggml.model", undefined);
  if (name === undefined || name === "no_vocab") return undefined;
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined) {
    throw unsupported(metadata, `tokenizer.ggml.model is ${JSON.stringify(name)}`, Object.keys(KINDS));
  }
  const tokens = metadata.strings("tokenizer.ggml.tokens");
  const types = metadata.numbers("tokenizer.ggml.token_type", tokens.length);
  const added = tokens.flatMap((content, id) => {
    const type = types?.[id];
    if (type === USER_DEFINED) return [addedToken(content, id, false)];
    return type === CONTROL || type === UNKNOWN ? [addedToken(content, id, true)] : [];
  });
  return {
    tokenizer: { added_tokens: added, ...kind.sections(metadata, tokens) },
    config: {
      ...namedToken(metadata, tokens, "bos"),
      ...namedToken(metadata, tokens, "eos"),
      add_bos_token: metadata.flag("tokenizer.ggml.add_bos_token", kind.addsBos),
      add_eos_token: metadata.flag("tokenizer.ggml.add_eos_token", false),
      chat_template: chatTemplate(metadata),
    },
  };
}

function byteLevelSections(metadata: GgufMetadata, tokens: readonly string[]): object {
  const pre = metadata.text("tokenizer.ggml.pre", undefined) ?? "default";
  const preTokenizer = Object.hasOwn(PRE_TOKENIZERS, pre) ? PRE_TOKENIZERS[pre] : undefined;
  if (preTokenizer === undefined) {
    throw unsupported(metadata, `tokenizer.ggml.pre is ${JSON.stringify(pre)}`, Object.keys(PRE_TOKENIZERS));
  }
  return {
    normalizer: pre === "qwen2" ? { type: "NFC" } : null,
    pre_tokenizer: preTokenizer,
    decoder: { ...byteLevel, add_prefix_space: true, use_regex: true },
    model: {
      ignore_merges: IGNORE_MERGES.includes(pre),
      vocab: new Vocabulary(tokens),
      merges: metadata.strings("tokenizer.ggml.merges"),
    },
  };
}

/** The unnamed one of several is the default. */
function chatTemplate(metadata: GgufMetadata): unknown {
  const template = metadata.text("tokenizer.chat_template", undefined);
  if (!metadata.has("tokenizer.chat_templates")) return template;
  const named = metadata.strings("tokenizer.chat_templates").map((name) => ({
    name,
    template: metadata.text(`tokenizer.chat_template.${name}`),
  }));
  return template === undefined ? named : [...named, { name: "default", template }];
}

/** `{ bos_token: "<|endoftext|>" }`; nothing where the metadata names none. */
function namedToken(metadata: GgufMetadata, tokens: readonly string[], name: "bos" | "eos"): object {
  const id = metadata.number(`tokenizer.ggml.${name}_token_id`, undefined);
  const token = id === undefined ? undefined : tokens[id];
  return token === undefined ? {} : { [`${name}_token`]: token };
}

function unsupported(metadata: GgufMetadata, found: string, legal: readonly string[]): GgufError {
  return new GgufError(
    "gguf-tokenizer",
    `${metadata.path}: ${found}; supported are ${legal.join(", ")}. Pass a tokenizer when loading, or load the ` +
      "model's Hugging Face folder",
    { legal },
  );
}
