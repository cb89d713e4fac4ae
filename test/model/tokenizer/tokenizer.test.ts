/**
 * Tokenizers without files: a byte-level one from our trainer, one in the manner of sentencepiece with byte fallback,
 * built here, and bytes. The laws: text survives the round trip, and the pieces of a stream together are what decode
 * gives.
 */
import * as dependency from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import { TokenError } from "../../../src/errors.js";
import { byteTokenizer, byteTokens } from "../../support/byte-tokenizer.js";
import { huggingFaceTokenizer, type Tokenizer, trainByteLevelBpe } from "early-exits/model";
import { between, fc, test } from "../../support/property.js";

const gptJson = trainByteLevelBpe(["once upon a time there was a cat 🙂 naïve café. ".repeat(3)], { vocabSize: 320 });
const gpt = await huggingFaceTokenizer(gptJson);
const llamaJson = sentencepieceJson();
const llama = await huggingFaceTokenizer(llamaJson);
const kinds: [string, Tokenizer][] = [
  ["byte-level BPE", gpt],
  ["sentencepiece with byte fallback", llama],
  ["bytes", byteTokenizer()],
];

/** Any text a sentencepiece decoder can give back: it turns "▁" into a space. */
const anyText = fc.string({ unit: "binary", maxLength: 40 }).filter((text) => !text.includes("▁"));
const emoji = fc.constantFrom("🙂", "👩‍👩‍👧", "e\u0301", "日本", " once", "  ", "\uFEFF", "a", "\n");
const text = fc.oneof(
  anyText,
  fc.array(emoji, { maxLength: 12 }).map((parts) => parts.join("")),
);

function streamed(tokenizer: Tokenizer, ids: readonly number[], prefix: readonly number[] = []) {
  const stream = tokenizer.stream(prefix);
  return ids.map((id) => stream.push(id)).join("") + stream.flush();
}

describe.each(kinds)("%s", (_name, tokenizer) => {
  // Most of them are not valid UTF-8.
  const ids = fc.array(between(0, tokenizer.vocabSize - 1), { maxLength: 30 });

  test.prop([text])("decodes what it has encoded", (sample) =>
    expect(tokenizer.decode(tokenizer.encode(sample))).toBe(sample),
  );

  it("turns a lone surrogate into U+FFFD", () =>
    expect(tokenizer.decode(tokenizer.encode("a\ud800b"))).toBe("a\ufffdb"));

  test.prop([ids], { numRuns: 500 })("streams any ids, including lone bytes, to exactly what decode gives", (sample) =>
    expect(streamed(tokenizer, sample)).toBe(tokenizer.decode(sample)),
  );

  test.prop([ids, ids], { numRuns: 500 })(
    "continues a prompt: decode(prefix + ids) = decode(prefix) + streamed text",
    (prefix, sample) => {
      const before = tokenizer.stream();
      for (const id of prefix) before.push(id);
      fc.pre(before.flush() === ""); // the prefix ends at a code-point boundary
      expect(tokenizer.decode(prefix) + streamed(tokenizer, sample, prefix)).toBe(
        tokenizer.decode([...prefix, ...sample]),
      );
    },
  );

  test.prop([text.filter((sample) => !sample.includes("\ufffd"))])("never emits part of a code point", (sample) => {
    const stream = tokenizer.stream();
    for (const id of tokenizer.encode(sample)) expect(stream.push(id)).not.toContain("\ufffd");
    expect(stream.flush()).toBe("");
  });

  it("refuses an id outside the vocabulary and says what is legal", () => {
    for (const id of [-1, 0.5, NaN, tokenizer.vocabSize]) {
      expect(() => tokenizer.decode([id])).toThrow(TokenError);
      expect(() => tokenizer.stream().push(id)).toThrow(`[0, ${tokenizer.vocabSize - 1}]`);
    }
  });
});

describe("a stream", () => {
  it("completes a code point that the prompt left unfinished", () => {
    const bytes = byteTokenizer();
    const [first, ...rest] = bytes.encode("🙂");
    expect(streamed(bytes, rest, [first!])).toBe("🙂");
  });

  it("holds nothing back once a code point can no longer be completed", () => {
    const stream = byteTokenizer().stream();
    expect([0xe2, 0x82, 0x41, 0xff, 0xf0].map((byte) => stream.push(byte))).toEqual(["", "", "\ufffdA", "\ufffd", ""]);
    expect(stream.flush()).toBe("\ufffd");
    expect(stream.flush()).toBe("");
  });

  it("strips the first space of a sentencepiece text only at its start", () => {
    const once = llama.encode("once", { addSpecialTokens: false });
    expect(streamed(llama, once)).toBe("once");
    expect(streamed(llama, once, [llama.bosTokenId!])).toBe("once");
    expect(streamed(llama, once, llama.encode("time"))).toBe(" once");
  });

  it("leaves special tokens out", () =>
    expect(streamed(gpt, [...gpt.encode("a"), gpt.eosTokenId!, ...gpt.encode("b")])).toBe("ab"));
});

describe("words", () => {
  /** As the dependency encodes by itself, whose ids are those of Hugging Face's Rust library (test/fixtures). */
  type Encoder = new (file: object, config: object) => { encode(text: string): { readonly ids: number[] } };
  const { Tokenizer: HuggingFaceTokenizer } = dependency as unknown as { readonly Tokenizer: Encoder };
  const few = fc.string({ unit: fc.constantFrom(...Array.from("abce on \u00e9日<|s>▁")), maxLength: 60 });
  // Merges that training would not give: a pair whose first symbol comes later, and products of later merges.
  const letters = ["a", "b", "c", "ab", "bc", "abc", "aa", "aaa", "cab"];
  const strange = {
    added_tokens: [],
    decoder: { type: "ByteLevel" },
    post_processor: null,
    normalizer: null,
    pre_tokenizer: null,
    model: {
      type: "BPE",
      vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])),
      merges: ["c ab", "ab c", "aa a", "a bc", "b c", "a a", "a b", "a aa"],
    },
  };
  const more = (changes: object) => ({ ...llamaJson, model: { ...llamaJson.model, ...changes } });
  it.each<[string, object]>([
    ["byte-level BPE", gptJson],
    ["sentencepiece", llamaJson],
    ["sentencepiece with whole words first", more({ ignore_merges: true })],
    ["sentencepiece without bytes", more({ byte_fallback: false })],
    ["sentencepiece that keeps every unknown character", more({ byte_fallback: false, fuse_unk: false })],
    ["no unknown token", more({ byte_fallback: false, unk_token: null })],
    ["strange merges", strange],
  ])("of %s have the ids of the dependency", async (_name, file) => {
    const tokenizer = await huggingFaceTokenizer(file);
    const whole = { normalizer: null, pre_tokenizer: null, ...file, post_processor: null };
    const theirs = new HuggingFaceTokenizer(whole, {});
    const samples = fc.oneof(text, few, fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 300 }));
    fc.assert(
      fc.property(samples, (sample) => {
        expect(tokenizer.encode(sample, { addSpecialTokens: false })).toEqual(theirs.encode(sample).ids);
      }),
      { numRuns: 300 },
    );
  });

  it.each(["a".repeat(4e5), "once upon a time ".repeat(8e3), "12 ".repeat(4e4)])(
    "of a long text give turns to other work (%#)",
    async (long) => {
      let turns = 0;
      const counter = setInterval(() => turns++, 0);
      const encoded = llama.encodeParts([long]).then((ids) => [ids, turns] as const);
      const [ids, seen] = await encoded;
      clearInterval(counter);
      expect(ids).toEqual(llama.encode(long, { addSpecialTokens: false }));
      expect(seen).toBeGreaterThan(1);
    },
  );
});

describe("special tokens", () => {
  it("come from the template of tokenizer.json unless tokenizer_config.json says otherwise", async () => {
    const plain = llama.encode("once", { addSpecialTokens: false });
    const encode = async (config: unknown) => (await huggingFaceTokenizer(llamaJson, config)).encode("once");
    expect(llama.encode("once")).toEqual([1, ...plain]);
    expect(await encode({ add_bos_token: true })).toEqual([1, ...plain]);
    expect(await encode({ add_bos_token: false })).toEqual(plain);
    expect(await encode({ add_eos_token: true })).toEqual([1, ...plain, 2]);
  });

  it("are named by the configuration, as a string or an object, or else by convention", async () => {
    expect([llama.bosTokenId, llama.eosTokenId]).toEqual([1, 2]);
    expect([gpt.bosTokenId, gpt.eosTokenId]).toEqual([0, 0]);
    expect(await huggingFaceTokenizer(llamaJson, { bos_token: { content: "</s>" }, eos_token: null })).toMatchObject({
      bosTokenId: 2,
      eosTokenId: undefined,
    });
    await expect(huggingFaceTokenizer(llamaJson, { eos_token: "<end>" })).rejects.toThrow(
      'tokenizer_config.json eos_token: found "<end>"',
    );
  });

  it("are decoded on request, and recognised if the text spells them out", () => {
    const ids = gpt.encode("a<|endoftext|>b");
    expect(ids).toContain(0);
    expect(gpt.decode(ids)).toBe("ab");
    expect(gpt.decode(ids, { skipSpecialTokens: false })).toBe("a<|endoftext|>b");
  });
});

it("an id without token adds nothing to a stream, and is refused by decode", async () => {
  const gap = await huggingFaceTokenizer({ ...gptJson, added_tokens: [{ id: 999, content: "<end>" }] });
  expect(streamed(gap, [998, 999])).toBe("<end>");
  expect(() => gap.decode([998])).toThrow(/no token has id 998/);
});

it("digits are numbers of all kinds, as in the Rust library", async () => {
  const halves = trainByteLevelBpe([" ½".repeat(99)], { vocabSize: 260 });
  const words = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
  const digits = { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, words] };
  const joined = await huggingFaceTokenizer(halves);
  const apart = await huggingFaceTokenizer({ ...halves, pre_tokenizer: digits });
  expect(joined.encode(" ½")).toHaveLength(1);
  expect(apart.encode(" ½").map((id) => apart.decode([id]))).toEqual([" ", "½"]);
});

const splitting = (split: object, vocab = {}, merges: string[] = []) => {
  const { model, ...file } = trainByteLevelBpe([""], { vocabSize: 257 });
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const steps = { type: "Sequence", pretokenizers: [{ type: "Split", ...split }, bytes] };
  const larger = { ...model, vocab: { ...model.vocab, ...vocab }, merges };
  return huggingFaceTokenizer({ ...file, pre_tokenizer: steps, model: larger });
};

it("white space of a split is Unicode's", async () => {
  const tokenizer = await splitting({ pattern: { Regex: "\\s|[^\\S]" }, behavior: "Removed" });
  expect(tokenizer.decode(tokenizer.encode("\uFEFFa \u0085b\n"))).toBe("\uFEFFab");
});

it.each([
  ["Isolated", true, ["a", "-", "-", "b"]],
  ["Removed", false, ["a", "b"]],
  ["Removed", true, ["-", "-"]],
  ["Contiguous", false, ["a", "--", "b"]],
  ["MergedWithPrevious", false, ["a-", "-", "b"]],
  ["MergedWithNext", false, ["a", "-", "-b"]],
])("a split that is %s, inverted: %s, gives the pieces of the Rust library", async (behavior, invert, pieces) => {
  const vocab = { "--": 257, "a-": 258, "-b": 259 };
  const tokenizer = await splitting({ pattern: { String: "-" }, behavior, invert }, vocab, ["- -", "a -", "- b"]);
  expect(tokenizer.encode("a--b").map((id) => tokenizer.decode([id]))).toEqual(pieces);
});

it("a sentencepiece text is cut at spaces before encoding, unless a merge joins across them", async () => {
  const joining = sentencepieceJson([["e", "▁"]]); // "e▁" would be lost by a cut before "▁"
  expect((await huggingFaceTokenizer(joining)).encode("e a")).toContain(joining.model.vocab["e▁"]);
  expect(llama.encode("the  a").map((id) => llama.decode([id], { skipSpecialTokens: false }))).toEqual([
    "<s>",
    "",
    "the",
    " ",
    "a",
  ]);
});

describe("a malformed or unsupported tokenizer.json", () => {
  const model = gptJson.model;
  const change = (part: object): unknown => ({ ...gptJson, ...part });

  it.each<[string, unknown, string]>([
    ["no object", [], "tokenizer.json: found an array; expected an object"],
    ["no model", {}, "model: found nothing; expected an object"],
    [
      "another kind of model",
      change({ model: { ...model, type: "Unigram" } }),
      'model.type: found "Unigram"; supported is "BPE"',
    ],
    ["no vocabulary", change({ model: { ...model, vocab: null } }), "model.vocab: found null; expected an object"],
    [
      "a wild id",
      change({ model: { ...model, vocab: { ...model.vocab, a: 1e9 } } }),
      'model.vocab["a"]: found 1000000000',
    ],
    ["an id twice", change({ model: { ...model, vocab: { a: 3, b: 3 } } }), 'id 3 for both "a" and "b"'],
    [
      "a merge of unknown tokens",
      change({ model: { ...model, merges: ["q Z"] } }),
      'model.merges[0]: found "qZ", which model.vocab lacks',
    ],
    [
      "a merge that is no pair",
      change({ model: { ...model, merges: ["abc"] } }),
      'model.merges[0]: found "abc"; expected two tokens',
    ],
    ["a word suffix", change({ model: { ...model, end_of_word_suffix: "</w>" } }), "model.end_of_word_suffix"],
    ["no decoder", change({ decoder: null }), "decoder: found null"],
    [
      "another decoder",
      change({ decoder: { type: "WordPiece" } }),
      'found {"type":"WordPiece"}; supported is ByteLevel alone',
    ],
    [
      "an added token without id",
      change({ added_tokens: [{ content: "<x>" }] }),
      "added_tokens[0].id: found undefined",
    ],
    [
      "words alone",
      change({ added_tokens: [{ id: 0, content: "<x>", single_word: true }] }),
      "single_word: found true",
    ],
    ["another post-processor", change({ post_processor: { type: "BertProcessing" } }), "post_processor.type"],
    ["an unknown normalizer", change({ normalizer: { type: "Rot13" } }), "Unknown Normalizer type: Rot13"],
  ])("with %s is refused, with what was found and what is legal", async (_name, file, message) => {
    const refused = { name: "TokenError", message: expect.stringContaining(message) as string };
    await expect(huggingFaceTokenizer(file)).rejects.toMatchObject(refused);
  });
});

/** A small tokenizer like Llama 2's: control tokens, 256 byte tokens, characters, and merges. */
function sentencepieceJson(moreMerges: readonly (readonly [string, string])[] = []) {
  const merges = [
    ["o", "n"],
    ["c", "e"],
    ["t", "h"],
    ["on", "ce"],
    ["on", "e"],
    ["▁", "once"],
    ["▁", "▁"],
    ["th", "e"],
    ["▁", "one"],
    ...moreMerges,
  ] as const;
  const characters = Array.from("▁abcdehimnotuwé日.");
  const tokens = [...new Set(["<unk>", "<s>", "</s>", ...byteTokens, ...characters, ...merges.map(([a, b]) => a + b)])];
  const special = (id: number) => ({ id, content: tokens[id], special: true, normalized: false });
  return {
    added_tokens: [special(0), special(1), special(2)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) as Record<string, number>,
      merges,
    },
  };
}
