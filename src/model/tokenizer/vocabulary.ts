/** Tokens of a tokenizer.json: BPE model (vocabulary and merges) and added tokens. */
import type { CancelSignal } from "../../cancel-signal.js";
import { giveTurn } from "../../turns.js";
import { list, malformed, record, tokenId, unsupported } from "./fields.js";
import { shown } from "../../shown.js";

export interface BpeModel {
  readonly vocab: ReadonlyMap<string, number>;
  /** By id. */
  readonly tokens: readonly (string | undefined)[];
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

/** A GGUF file gives `vocab` as a Map and `merges` as ids, without the detour by way of JSON. */
export async function readBpeModel(value: unknown, signal?: CancelSignal): Promise<BpeModel> {
  const section: Record<string, unknown> = { type: "BPE", ...record("model", value) };
  if (section["type"] !== "BPE") throw unsupported("model.type", shown(section["type"]), '"BPE"');
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if ((section[key] ?? "") !== "") {
      throw unsupported(`model.${key}`, shown(section[key]), "null or an empty string");
    }
  }
  const { vocab, tokens } = readVocab(section["vocab"]);
  await giveTurn(signal);
  const merges = section["merges"] instanceof Int32Array ? section["merges"] : readMerges(section["merges"], vocab);
  const unknown = section["unk_token"] ?? null;
  if (unknown !== null && !(typeof unknown === "string" && vocab.has(unknown))) {
    throw malformed("model.unk_token", shown(unknown), "null or a token of model.vocab");
  }
  return { vocab, tokens, merges, section };
}

export function readAddedTokens(value: unknown): AddedToken[] {
  return list("added_tokens", value).map((entry, i) => {
    const token = record(`added_tokens[${i}]`, entry);
    const content = token["content"];
    if (typeof content !== "string" || content === "") {
      throw malformed(`added_tokens[${i}].content`, shown(content), "a non-empty string");
    }
    return { id: tokenId(() => `added_tokens[${i}].id`, token["id"]), content, special: token["special"] === true };
  });
}

function readVocab(value: unknown): Pick<BpeModel, "vocab" | "tokens"> {
  const given = value instanceof Map ? (value as ReadonlyMap<string, number>) : undefined;
  const vocab = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const [token, entry] of given ?? Object.entries(record("model.vocab", value))) {
    const id = tokenId(() => `model.vocab[${shown(token)}]`, entry);
    const other = tokens[id];
    if (other !== undefined) {
      const found = `id ${id} for both ${shown(other)} and ${shown(token)}`;
      throw malformed("model.vocab", found, "one token per id");
    }
    if (given === undefined) vocab.set(token, id);
    tokens[id] = token;
  }
  return { vocab: given ?? vocab, tokens };
}

/** Older files write a merge as "a b", newer ones as ["a", "b"]. */
function readMerges(value: unknown, vocab: ReadonlyMap<string, number>): Int32Array {
  const merges = list("model.merges", value);
  const ids = new Int32Array(3 * merges.length);
  for (const [i, merge] of merges.entries()) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw malformed(`model.merges[${i}]`, shown(merge), 'two tokens, as "a b" or ["a", "b"]');
    }
    const [a, b] = pair as [unknown, unknown];
    for (const [part, token] of [a, b, `${String(a)}${String(b)}`].entries()) {
      const id = typeof token === "string" ? vocab.get(token) : undefined;
      if (id === undefined) {
        throw malformed(`model.merges[${i}]`, `${shown(token)}, which model.vocab lacks`, "tokens of the vocabulary");
      }
      ids[3 * i + part] = id;
    }
  }
  return ids;
}
