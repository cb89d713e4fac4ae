/** Byte-level BPE training: a corpus small enough to merge by hand, and determinism. */
import { expect, it } from "vitest";
import { OptionError } from "../../../src/errors.js";
import { trainByteLevelBpe } from "early-exits/model";
import { byteSymbols } from "../../../src/model/tokenizer/byte-level.js";
import { fc, test } from "../../support/property.js";

const train = (text: string, vocabSize: number, minFrequency = 2) =>
  trainByteLevelBpe([text], { vocabSize, minFrequency });

it("gives the special token id 0, then the 256 bytes, then the merges in order", () => {
  const { model, added_tokens } = train("aaabdaaabac", 260);
  expect(added_tokens).toMatchObject([{ id: 0, content: "<|endoftext|>", special: true }]);
  expect(model.vocab["!"]).toBe(1);
  expect(model.vocab["Ġ"]).toBe([...byteSymbols].sort().indexOf("Ġ") + 1);
  expect(Object.keys(model.vocab)).toHaveLength(260);
});

it("merges the textbook example: aaabdaaabac has aa 4 times, then aa-a and a-b twice", () => {
  // a a a b d a a a b a c: (a,a) 4 times, (a,b) twice. Then aa a b d aa a b a c: (a,b) twice, (aa,a) twice, and "a"
  // sorts before "aa".
  expect(train("aaabdaaabac", 260).model.merges).toEqual(["a a", "a b", "aa ab"]);
  expect(train("aaabdaaabac", 260).model.vocab["aaab"]).toBe(259);
});

it("joins no pair below minFrequency, so the vocabulary may stay smaller", () => {
  expect(train("abc", 300).model.merges).toEqual([]);
  expect(train("abc", 300, 1).model.merges).toEqual(["a b", "ab c"]);
});

it("never joins across words or across a special token", () => {
  const merges = train("ab<|endoftext|>ab ab<|endoftext|>ab", 270, 1).model.merges;
  expect(merges).toEqual(["a b", "Ġ ab"]);
});

const text = fc.array(fc.constantFrom("ab", "aab", "aaa", "abab", "cab", "bca", "aabb"), {
  minLength: 1,
  maxLength: 30,
});
test.prop([text])("agrees with a plain trainer that recounts every pair before every merge", (words) =>
  expect(trainByteLevelBpe(words, { vocabSize: 270 }).model.merges).toEqual(plainMerges(words, 270 - 257)),
);

it("refuses a vocabulary without room for the bytes, and special tokens that clash", () => {
  expect(() => trainByteLevelBpe(["a"], { vocabSize: 256 })).toThrow(OptionError);
  expect(() => trainByteLevelBpe(["a"], { vocabSize: 300, specialTokens: ["<s>", "<s>"] })).toThrow(/distinct/);
  expect(() => trainByteLevelBpe(["a"], { vocabSize: 300, specialTokens: ["a"] })).toThrow(/also a learned token/);
});

/** The oracle: words as arrays of characters, all pairs recounted each time. */
function plainMerges(documents: readonly string[], limit: number) {
  let words = documents.map((word) => Array.from(word));
  const merges: string[] = [];
  const known = new Set<string>();
  while (known.size < limit) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]!} ${word[i + 1]!}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    // A space sorts before all symbols: first symbols are compared, then second ones.
    const [best] = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    if (best === undefined || best[1] < 2) break;
    merges.push(best[0]);
    const [first, second] = best[0].split(" ");
    known.add(first! + second!);
    words = words.map((word) => {
      const joined: string[] = [];
      for (let i = 0; i < word.length; i++) {
        if (word[i] === first && word[i + 1] === second) joined.push(word[i]! + word[++i]!);
        else joined.push(word[i]!);
      }
      return joined;
    });
  }
  return merges;
}
