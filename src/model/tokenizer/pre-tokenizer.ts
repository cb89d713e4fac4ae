/**
 * The pre-tokenizer (text to words, before BPE) as the dependency gets it. It differs from the file's in two ways that
 * change no id of Hugging Face's Rust library:
 *   byte-level      GPT-2's pattern is written out: the dependency's built-in copy uses JavaScript's white space (see
 *                   byte-level.ts).
 *   sentencepiece   A text, otherwise one word of its whole length, is cut before each run of "▁" unless a merge joins
 *                   across such a cut: if none does, merges left and right of it cannot meet. The dependency's cache
 *                   of words has hits only then.
 */
import { gpt2Pattern } from "./byte-level.js";
import { list, record } from "./fields.js";
import type { BpeModel } from "./vocabulary.js";

export function exactPreTokenizer(value: unknown, model: BpeModel): unknown {
  if (value === null) return joinsAcrossWords(model) ? null : splitBy("(?<=[^▁])(?=▁)");
  const step = record("pre_tokenizer", value);
  if (step["type"] === "Sequence") {
    const inner = list("pre_tokenizer.pretokenizers", step["pretokenizers"]);
    return { ...step, pretokenizers: inner.map((each) => exactPreTokenizer(each, model)) };
  }
  const cutsByPattern =
    step["type"] === "ByteLevel" && step["use_regex"] !== false && step["add_prefix_space"] !== true;
  if (!cutsByPattern) return step;
  return { type: "Sequence", pretokenizers: [splitBy(gpt2Pattern), { ...step, use_regex: false }] };
}

/** True if a merge joins a character with a following "▁". */
function joinsAcrossWords({ section, merges }: BpeModel): boolean {
  return section["ignore_merges"] === true || merges.some(([a, b]) => /[^▁]▁/u.test(a + b));
}

function splitBy(pattern: string): object {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}
