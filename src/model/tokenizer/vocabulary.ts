/** Tokens of a tokenizer.json: BPE model (vocabulary and merges) and added tokens. */
import type { CancelSignal } from "../../cancel-signal.js";
import { giveTurn } from "../../turns.js";
import { list, malformed, record, tokenId, unsupported } from "./fields.js";
import { shown } from "../../shown.js";

export interface BpeModel {
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: readonly Merge[];
  /** Section with its type, which old files leave out. */
  readonly section: Readonly<Record<string, unknown>>;
}

type Merge = readonly [string, string];

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export async function readBpeModel(value: unknown, signal?: CancelSignal): Promise<BpeModel> {
  const section: Record<string, unknown> = { type: "BPE", ...record("model", value) };
  if (section["type"] !== "BPE") throw unsupported("model.type", shown(section["type"]), '"BPE"');
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if ((section[key] ?? "") !== "") {
      throw unsupported(`model.${key}`, shown(section[key]), "null or an empty string");
    }
  }
  const vocab = readVocab(section["vocab"]);
  await giveTurn(signal);
  const merges = list("model.merges", section["merges"]).map((merge, i) => readMerge(i, merge, vocab));
  const unknown = section["unk_token"] ?? null;
  if (unknown !== null && !(typeof unknown === "string" && vocab.has(unknown))) {
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
    return { id: tokenId(`added_tokens[${i}].id`, token["id"]), content, special: token["special"] === true };
  });
}

function readVocab(value: unknown): Map<string, number> {
  const vocab = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const [token, entry] of Object.entries(record("model.vocab", value))) {
    const id = tokenId(`model.vocab[${shown(token)}]`, entry);
    const other = tokens[id];
    if (other !== undefined) {
      const found = `id ${id} for both ${shown(other)} and ${shown(token)}`;
      throw malformed("model.vocab", found, "one token per id");
    }
    vocab.set(token, id);
    tokens[id] = token;
  }
  return vocab;
}

/** Older files write a merge as "a b", newer ones as ["a", "b"]. */
function readMerge(index: number, value: unknown, vocab: ReadonlyMap<string, number>): Merge {
  const pair: unknown = typeof value === "string" ? value.split(" ") : value;
  if (!Array.isArray(pair) || pair.length !== 2) {
    throw malformed(`model.merges[${index}]`, shown(value), 'two tokens, as "a b" or ["a", "b"]');
  }
  const [a, b] = pair as [unknown, unknown];
  for (const token of [a, b, `${String(a)}${String(b)}`]) {
    if (typeof token !== "string" || !vocab.has(token)) {
      throw malformed(`model.merges[${index}]`, `${shown(token)}, which model.vocab lacks`, "tokens of the vocabulary");
    }
  }
  return [a as string, b as string];
}
