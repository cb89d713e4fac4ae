/**
 * A sentencepiece BPE vocabulary ("llama" in GGUF's words) as tokenizer.json writes it. It has scores instead of
 * merges: of adjacent pairs, the one whose token has the highest score is joined first. So every cut of a token into
 * two is a merge, ordered by the token's score, then by the parts' ids, as in Hugging Face's conversion. Spaces are
 * written "▁", characters that no token covers as bytes, "<0x0A>". Source: Kudo & Richardson 2018. Left out: Unigram,
 * and normalization by a character map.
 */
import { requireBudget } from "../../budgets.js";
import { GgufError } from "../../errors.js";
import type { GgufMetadata } from "./metadata.js";

/** Work grows with the square of a token's length; real ones have at most 128 characters. */
const LONGEST = 256;

export function sentencepieceSections(metadata: GgufMetadata, tokens: readonly string[]): object {
  const scores = metadata.numbers("tokenizer.ggml.scores", tokens.length);
  if (scores === undefined) {
    throw new GgufError("gguf-metadata", `${metadata.path}: "tokenizer.ggml.scores" should be one number per token`, {
      key: "tokenizer.ggml.scores",
    });
  }
  if (metadata.flag("tokenizer.ggml.remove_extra_whitespaces", false)) {
    throw new GgufError("gguf-tokenizer", `${metadata.path}: tokenizers that remove spaces are not supported`);
  }
  const unknown = tokens[metadata.number("tokenizer.ggml.unknown_token_id", 0)!] ?? null;
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
      type: "BPE",
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: mergesOf(tokens, scores, metadata),
    },
  };
}

interface RankedMerge {
  readonly pair: readonly [string, string];
  readonly score: number;
  readonly left: number;
  readonly right: number;
}

function mergesOf(
  tokens: readonly string[],
  scores: ArrayLike<number>,
  { path, budgets }: GgufMetadata,
): (readonly [string, string])[] {
  const work = tokens.reduce((sum, { length }) => sum + Math.min(length, LONGEST) ** 2, 0);
  requireBudget(budgets, "mergeWork", work, `${path}: squares of the lengths of all tokens`);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: RankedMerge[] = [];
  for (const [token, id] of ids) {
    if (token.length > LONGEST) {
      throw new GgufError("gguf-tokenizer", `${path}: token ${id} has ${token.length} characters, above ${LONGEST}`);
    }
    for (let cut = 1; cut < token.length; cut++) {
      const pair = [token.slice(0, cut), token.slice(cut)] as const;
      const left = ids.get(pair[0]);
      const right = left === undefined ? undefined : ids.get(pair[1]);
      if (left !== undefined && right !== undefined) merges.push({ pair, score: scores[id]!, left, right });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ pair }) => pair);
}
