/** Tokens of a tokenizer.json: BPE model (vocabulary and merges) and added tokens. */
import type { CancelSignal } from "../../cancel-signal.js";
import { giveTurn } from "../../turns.js";
import { list, malformed, record, tokenId, unsupported } from "./fields.js";
import { shown } from "../../shown.js";

/**
 * Ids by token, and tokens by id: a hash table in typed arrays, which takes a third of a Map's memory and finds parts
 * of texts. The hash of characters c is Σ c_i · f^(n-1-i), modulo 2^32, so those of all parts of a text follow from
 * those of its beginnings. f is random, so that no file makes tokens collide; what is found does not depend on it.
 */
export class Vocabulary {
  readonly factor = crypto.getRandomValues(new Int32Array(1))[0]! | 1;
  readonly #shift: number;
  readonly #lasts: Int32Array; // by place
  readonly #before: Int32Array; // the next in the same place
  readonly #hashes: Int32Array;

  constructor(readonly tokens: readonly (string | undefined)[]) {
    const count = tokens.reduce((sum) => sum + 1, 0); // ids may have gaps
    this.#shift = Math.min(31, Math.clz32(count));
    this.#lasts = new Int32Array(2 ** (32 - this.#shift)).fill(-1);
    this.#before = new Int32Array(tokens.length);
    this.#hashes = new Int32Array(tokens.length);
    tokens.forEach((token, id) => {
      const place = this.#placeOf((this.#hashes[id] = this.#hashOf(token!)));
      this.#before[id] = this.#lasts[place]!;
      this.#lasts[place] = id;
    });
  }

  /** The last of equal tokens. */
  idOf(token: string): number | undefined {
    const id = this.find(this.#hashOf(token), token, 0, token.length);
    return id < 0 ? undefined : id;
  }

  /** The token that is this part of a text; -1 if none is. */
  find(hash: number, text: string, begin: number, end: number): number {
    const isPart = (token: string): boolean => token.length === end - begin && text.startsWith(token, begin);
    let id = this.#lasts[this.#placeOf(hash)]!;
    while (id >= 0 && !(this.#hashes[id] === hash && isPart(this.tokens[id]!))) id = this.#before[id]!;
    return id;
  }

  #hashOf(token: string): number {
    let hash = 0;
    for (let i = 0; i < token.length; i++) hash = (Math.imul(hash, this.factor) + token.charCodeAt(i)) | 0;
    return hash;
  }

  #placeOf(hash: number): number {
    return Math.imul(hash, 0x9e3779b1) >>> this.#shift; // 2^32 over the golden ratio
  }
}

export interface BpeModel {
  readonly vocab: Vocabulary;
  /** Ids of left part, right part and both joined, merge by merge. */
  readonly merges: Int32Array;
  /** Section with its type, which old files leave out. */
  readonly section: Readonly<Record<string, unknown>>;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** An entry of tokenizer.json. */
export const addedToken = (
  content: string,
  id: number,
  special: boolean,
): AddedToken & Readonly<Record<string, unknown>> => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
});

/** A GGUF file gives a Vocabulary, and merges as ids, without the detour by way of JSON. */
export async function readBpeModel(value: unknown, signal?: CancelSignal): Promise<BpeModel> {
  const section: Record<string, unknown> = { type: "BPE", ...record("model", value) };
  if (section["type"] !== "BPE") throw unsupported("model.type", shown(section["type"]), '"BPE"');
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if ((section[key] ?? "") !== "") {
      throw unsupported(`model.${key}`, shown(section[key]), "null or an empty string");
    }
  }
  const vocab = section["vocab"] instanceof Vocabulary ? section["vocab"] : readVocab(section["vocab"]);
  await giveTurn(signal);
  const merges = section["merges"] instanceof Int32Array ? section["merges"] : readMerges(section["merges"], vocab);
  const unknown = section["unk_token"] ?? null;
  if (unknown !== null && !(typeof unknown === "string" && vocab.idOf(unknown) !== undefined)) {
    throw malformed("model.unk_token", shown(unknown), "null or a token of model.vocab");
  }
  return { vocab, merges, section };
}

export function readAddedTokens(value: unknown): AddedToken[] {
  return list("added_tokens", value).map((entry, i) => {
    const token = record(`added_tokens[${i}]`, entry);
    const content = token["content"];
    if (typeof content !== "string" || content === "") {
      throw malformed(`added_tokens[${i}].content`, shown(content), "a non-empty string");
    }
    if (token["single_word"] === true) throw malformed(`added_tokens[${i}].single_word`, "true", "false");
    return { id: tokenId(() => `added_tokens[${i}].id`, token["id"]), content, special: token["special"] === true };
  });
}

function readVocab(value: unknown): Vocabulary {
  const tokens: (string | undefined)[] = [];
  for (const [token, entry] of Object.entries(record("model.vocab", value))) {
    const id = tokenId(() => `model.vocab[${shown(token)}]`, entry);
    const other = tokens[id];
    if (other !== undefined) {
      const found = `id ${id} for both ${shown(other)} and ${shown(token)}`;
      throw malformed("model.vocab", found, "one token per id");
    }
    tokens[id] = token;
  }
  return new Vocabulary(tokens);
}

/** Older files write a merge as "a b", newer ones as ["a", "b"]. */
function readMerges(value: unknown, vocab: Vocabulary): Int32Array {
  const merges = list("model.merges", value);
  const ids = new Int32Array(3 * merges.length);
  for (const [i, merge] of merges.entries()) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw malformed(`model.merges[${i}]`, shown(merge), 'two tokens, as "a b" or ["a", "b"]');
    }
    const [a, b] = pair as [unknown, unknown];
    for (const [part, token] of [a, b, `${String(a)}${String(b)}`].entries()) {
      const id = typeof token === "string" ? vocab.idOf(token) : undefined;
      if (id === undefined) {
        throw malformed(`model.merges[${i}]`, `${shown(token)}, which model.vocab lacks`, "tokens of the vocabulary");
      }
      ids[3 * i + part] = id;
    }
  }
  return ids;
}
