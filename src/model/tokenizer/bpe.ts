/**
 * Training of a byte-level BPE tokenizer: start from the 256 bytes, join the most frequent adjacent pair, repeat
 * (Sennrich et al. 2016, algorithm 1; over bytes and within the words of GPT-2's pattern, Radford et al. 2019, section
 * 2.2). Unique words are counted once; a merge touches only words with the pair. Ties go to the pair that sorts first,
 * so equal texts give equal bytes. Makes a tokenizer.json. Left out: dropout, and a heap (each merge scans all distinct
 * pairs).
 */
import { OptionError, requireInteger } from "../../errors.js";
import { byteSymbols, gpt2Pattern } from "./byte-level.js";
import { type AddedToken, addedToken } from "./vocabulary.js";

interface BpeOptions {
  /** Size with special tokens and the 256 bytes; smaller if the text runs out of frequent pairs. */
  readonly vocabSize: number;
  /** First ids, in this order; the text is cut at them. @default ["<|endoftext|>"] */
  readonly specialTokens?: readonly string[];
  /** Rarer pairs are never joined. @default 2 */
  readonly minFrequency?: number;
}

/** The object has tokenizer.json's other parts too. */
export interface ByteLevelBpe {
  readonly added_tokens: readonly AddedToken[];
  readonly model: {
    readonly type: "BPE";
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly string[];
  };
}

/** Symbol ids. */
interface Word {
  ids: number[];
  readonly count: number;
}

/** Pairs are numbers: first * PAIR_BASE + second, exact in a double. */
const PAIR_BASE = 2 ** 20;

/** Returns the content of tokenizer.json. */
export function trainByteLevelBpe(
  documents: readonly string[],
  { vocabSize, specialTokens = ["<|endoftext|>"], minFrequency = 2 }: BpeOptions,
): ByteLevelBpe {
  requireInteger(
    "trainByteLevelBpe: vocabSize (256 bytes, and the special tokens)",
    vocabSize,
    256 + specialTokens.length,
    PAIR_BASE,
  );
  requireInteger("trainByteLevelBpe: minFrequency", minFrequency, 1);
  const repeated = new Set(specialTokens).size < specialTokens.length;
  if (specialTokens.includes("") || repeated) {
    throw new OptionError(
      "option-range",
      "trainByteLevelBpe: specialTokens holds an empty or a repeated string; make them distinct",
      { specialTokens },
    );
  }
  const words = countWords(documents, specialTokens);
  const { symbols, merges } = learnMerges(words, vocabSize - specialTokens.length, minFrequency);
  const tokens = [...specialTokens, ...symbols.slice(0, 256).sort(), ...symbols.slice(256)];
  const clash = specialTokens.find((token) => symbols.includes(token));
  if (clash !== undefined) {
    throw new OptionError(
      "option-range",
      `trainByteLevelBpe: special token ${JSON.stringify(clash)} is also a learned token; ` +
        `choose another, such as <|${clash}|>`,
      { clash },
    );
  }
  return tokenizerJson(tokens, merges, specialTokens);
}

/** Words as bytes. */
function countWords(documents: readonly string[], specialTokens: readonly string[]): Word[] {
  const pattern = new RegExp(gpt2Pattern, "gu");
  const counts = new Map<string, number>();
  for (const document of documents) {
    let parts = [document];
    for (const token of specialTokens) parts = parts.flatMap((part) => part.split(token));
    for (const part of parts) {
      for (const word of part.match(pattern) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({ ids: Array.from(encoder.encode(word)), count }));
}

/** Stops at `size` symbols, or when no pair occurs `minFrequency` times. Symbol ids below 256 are bytes. */
function learnMerges(
  words: readonly Word[],
  size: number,
  minFrequency: number,
): { symbols: string[]; merges: string[] } {
  const symbols = [...byteSymbols];
  const idOf = new Map(symbols.map((symbol, id) => [symbol, id]));
  const merges: string[] = [];
  const counts = new Map<number, number>(); // pair -> occurrences, never 0
  const holders = new Map<number, Set<Word>>(); // pair -> words that contain it, or once did

  const tally = (word: Word, sign: 1 | -1): void => {
    for (let i = 0; i + 1 < word.ids.length; i++) {
      const pair = word.ids[i]! * PAIR_BASE + word.ids[i + 1]!;
      const count = (counts.get(pair) ?? 0) + sign * word.count;
      if (count === 0) counts.delete(pair);
      else counts.set(pair, count);
      if (sign === 1) {
        const set = holders.get(pair);
        if (set === undefined) holders.set(pair, new Set([word]));
        else set.add(word);
      }
    }
  };
  for (const word of words) tally(word, 1);

  while (symbols.length < size) {
    const best = mostFrequentPair(counts, symbols);
    if (best === undefined || counts.get(best)! < minFrequency) break;
    const first = Math.floor(best / PAIR_BASE);
    const second = best % PAIR_BASE;
    const joined = symbols[first]! + symbols[second]!;
    merges.push(`${symbols[first]!} ${symbols[second]!}`);
    // "ab" + "c" and "a" + "bc" spell the same token: two merges, one id.
    const id = idOf.get(joined) ?? symbols.push(joined) - 1;
    idOf.set(joined, id);
    const affected = holders.get(best)!;
    holders.delete(best);
    for (const word of affected) {
      tally(word, -1);
      word.ids = joinPair(word.ids, first, second, id);
      tally(word, 1);
    }
  }
  return { symbols, merges };
}

/** Breaks ties by the pair that sorts first. */
function mostFrequentPair(counts: ReadonlyMap<number, number>, symbols: readonly string[]): number | undefined {
  let best: number | undefined;
  let bestCount = 0;
  for (const [pair, count] of counts) {
    if (count > bestCount || (count === bestCount && best !== undefined && sortsBefore(pair, best, symbols))) {
      best = pair;
      bestCount = count;
    }
  }
  return best;
}

/** Compares first symbols, then second. */
function sortsBefore(pair: number, other: number, symbols: readonly string[]): boolean {
  const a = symbols[Math.floor(pair / PAIR_BASE)]!;
  const b = symbols[Math.floor(other / PAIR_BASE)]!;
  return a === b ? symbols[pair % PAIR_BASE]! < symbols[other % PAIR_BASE]! : a < b;
}

/** Joins from left to right: "aaa" becomes "aa" "a". */
function joinPair(ids: readonly number[], first: number, second: number, id: number): number[] {
  const joined: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === first && ids[i + 1] === second) {
      joined.push(id);
      i++;
    } else {
      joined.push(ids[i]!);
    }
  }
  return joined;
}

/** Merges are "a b" strings, which every version reads. */
function tokenizerJson(
  tokens: readonly string[],
  merges: readonly string[],
  specialTokens: readonly string[],
): ByteLevelBpe {
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => addedToken(content, id, true)),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE" as const,
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  return file;
}
