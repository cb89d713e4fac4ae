/**
 * The pre-tokenizer (text to words, before BPE) as the dependency gets it. It differs from the file's in four ways,
 * which give the ids of Hugging Face's Rust library:
 *   splits          may join what their pattern matches to what is before or behind, or to the next match.
 *   digits          are numbers of all kinds there (½, ²), which the dependency takes for 0 to 9.
 *   white space     is Unicode's, not JavaScript's. So GPT-2's pattern is written out, too (byte-level.ts).
 *   sentencepiece   A text, otherwise one word of its whole length, is cut before each run of "▁" unless a merge joins
 *                   across such a cut: if none does, merges left and right of it cannot meet. Only then are words
 *                   met again, which are remembered.
 */
import { shown } from "../../shown.js";
import { gpt2Pattern } from "./byte-level.js";
import { list, malformed, record, unsupported } from "./fields.js";
import type { BpeModel } from "./vocabulary.js";

export { requireBoundedSections } from "./bounded/bounded-sections.js";

export function exactPreTokenizer(value: unknown, model: BpeModel): unknown {
  if (value === null) return joinsAcrossWords(model) ? null : splitBy("(?<=[^▁])(?=▁)");
  const step = record("pre_tokenizer", value);
  if (step["type"] === "Sequence") {
    const inner = list("pre_tokenizer.pretokenizers", step["pretokenizers"]);
    return { ...step, pretokenizers: inner.map((each) => exactPreTokenizer(each, model)) };
  }
  if (step["type"] === "Digits") return splitBy(step["individual_digits"] === true ? "\\p{N}" : "\\p{N}+");
  if (step["type"] === "Split") return exactSplit(step);
  const cutsByPattern =
    step["type"] === "ByteLevel" && step["use_regex"] !== false && step["add_prefix_space"] !== true;
  if (!cutsByPattern) return step;
  return { type: "Sequence", pretokenizers: [splitBy(gpt2Pattern), { ...step, use_regex: false }] };
}

/** Patterns of pieces, from that of a split and that of one other character. What they do not match is a piece, too. */
const PIECES = new Map<unknown, (match: string, other: string) => string>([
  ["Isolated", (match) => match],
  ["Contiguous", (match) => `(?:${match})+`],
  ["MergedWithPrevious", (match, other) => `${other}+(?:${match})?|${match}`],
  ["MergedWithNext", (match, other) => `(?:${match})${other}*`],
]);

function exactSplit({ behavior, invert = false, ...step }: Readonly<Record<string, unknown>>): object {
  const { Regex: regex, String: literal } = record("pre_tokenizer.pattern", step["pattern"]);
  const source = regex ?? literal;
  if (typeof source !== "string") throw malformed("pre_tokenizer.pattern", shown(source), "a Regex or a String");
  const match = source === regex ? withUnicodeSpace(source) : source.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  if (behavior === "Removed") return { ...step, pattern: { Regex: match }, behavior, invert };
  const pieces = PIECES.get(behavior);
  if (pieces === undefined || (invert !== false && String(behavior).startsWith("Merged"))) {
    const found = `${shown(behavior)}${invert === false ? "" : ", inverted"}`;
    throw unsupported("pre_tokenizer.behavior", found, "Removed, Isolated, Contiguous, or without invert Merged");
  }
  const single = source === literal && source.length === 1;
  return splitBy(pieces(match, single ? `[^${match}]` : `(?:(?!${match})[\\s\\S])`));
}

/** JavaScript's `\s` includes U+FEFF, with which files of Windows begin, and lacks U+0085. */
function withUnicodeSpace(pattern: string): string {
  return pattern.replace(/\\[sS\\]/g, (escape) => ESCAPES.get(escape) ?? escape);
}

const ESCAPES = new Map([
  ["\\s", "\\p{White_Space}"],
  ["\\S", "\\P{White_Space}"],
]);

/** True if a merge joins a character with a following "▁". */
function joinsAcrossWords({ section, merges, vocab }: BpeModel): boolean {
  const joins = (id: number, i: number): boolean => i % 3 === 2 && /[^▁]▁/u.test(vocab.tokens[id]!);
  return section["ignore_merges"] === true || merges.some(joins);
}

function splitBy(pattern: string): object {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}
