/**
 * Hostile tokenizers: a sound tokenizer.json with changed fields, patterns that explode, and lists of steps that do.
 * Each must be read and encode a short text, or be refused.
 */
import fc from "fast-check";
import { huggingFaceTokenizer, trainByteLevelBpe } from "early-exits/model";
import { changedJson, type JsonChange, jsonChange } from "./mutations.js";

interface HostileTokenizer {
  readonly pattern: string | undefined;
  readonly normalizers: readonly object[];
  readonly decoders: readonly object[];
  readonly changes: readonly JsonChange[];
  /** Text to encode and decode. */
  readonly text: string;
}

/** Patterns from a grammar: every atom, group and quantifier that tokenizers use, nested at random. */
const pattern: fc.Arbitrary<string> = fc.letrec<{ piece: string; atom: string; sequence: string; choice: string }>(
  (tie) => ({
    atom: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom("a", "b", " ", ".", "\\s", "\\S", "\\w", "\\d", "\\p{L}", "\\p{N}", "[^\\s]", "[ab]", "\\r", "x"),
      tie("choice").map((inner) => `(?:${inner})`),
      tie("choice").map((inner) => `(${inner})`),
      tie("choice").map((inner) => `(?=${inner})`),
      tie("choice").map((inner) => `(?!${inner})`),
      tie("choice").map((inner) => `(?i:${inner})`),
    ),
    piece: fc
      .tuple(
        tie("atom"),
        fc.constantFrom("", "", "*", "+", "?", "*?", "++", "{3}", "{1,3}", "{2,}", "{0,200}", "{99999}"),
      )
      .map(([atom, quantifier]) => atom + quantifier),
    sequence: fc.array(tie("piece"), { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join("")),
    choice: fc.array(tie("sequence"), { minLength: 1, maxLength: 3 }).map((sequences) => sequences.join("|")),
  }),
).choice;

const step: fc.Arbitrary<object> = fc.oneof(
  fc.record({
    type: fc.constantFrom("Replace", "Strip", "Prepend", "Fuse", "ByteFallback", "NFC", "Lowercase", "constructor"),
    pattern: fc.oneof(fc.record({ String: fc.string({ maxLength: 3 }) }), fc.record({ Regex: pattern })),
    content: fc.oneof(fc.string({ maxLength: 4 }), fc.constant("▁".repeat(5000)), fc.constant(" ")),
    prepend: fc.string({ maxLength: 3 }),
    start: fc.constantFrom(0, 1, -1, 1e9, "x"),
    stop: fc.constant(0),
  }),
  fc.constant({ type: "Replace", pattern: { String: "a" }, content: "aa" }),
);
/** `times` is how often a step is repeated. */
const steps: fc.Arbitrary<object[]> = fc.oneof(
  fc.array(step, { maxLength: 4 }),
  fc.tuple(step, fc.constantFrom(10, 40, 1000, 100_000)).map(([one, times]) => [{ ...one, times }]),
);

export const hostileTokenizer: fc.Arbitrary<HostileTokenizer> = fc.record({
  pattern: fc.option(pattern, { nil: undefined }),
  normalizers: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: steps }),
  decoders: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: steps }),
  changes: fc.array(jsonChange, { maxLength: 2 }),
  text: fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom("a", " ", "1", "x", "\n", "é").map((character) => `${character.repeat(400)}!`),
  ),
});

const base = trainByteLevelBpe(["a b c a b 1 12"], { vocabSize: 264 });

/** Reads the tokenizer, encodes its text and decodes the ids. */
export async function useTokenizer(hostile: HostileTokenizer): Promise<void> {
  const tokenizer = await huggingFaceTokenizer(tokenizerJson(hostile), { eos_token: "<|endoftext|>" });
  const ids = tokenizer.encode(hostile.text);
  tokenizer.decode(ids);
  await tokenizer.encodeParts([hostile.text]);
}

function tokenizerJson({ pattern: regex, normalizers, decoders, changes }: HostileTokenizer): unknown {
  const split = { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
  const json = {
    ...base,
    ...(normalizers.length > 0 && { normalizer: { type: "Sequence", normalizers: repeated(normalizers) } }),
    ...(regex !== undefined && { pre_tokenizer: split }),
    ...(decoders.length > 0 && { decoder: { type: "Sequence", decoders: repeated(decoders) } }),
  };
  return changes.reduce<unknown>(changedJson, json);
}

/** Steps, each as many times as it says. */
function repeated(steps: readonly object[]): object[] {
  return steps.flatMap((one) => Array<object>("times" in one ? (one.times as number) : 1).fill(one));
}
