/** Sentencepiece vocabularies in GGUF metadata: scores decide what is joined; bytes, prefixes and control tokens. */
import { expect, it } from "vitest";
import { GgufMetadata } from "../../../src/model/gguf/metadata.js";
import { ggufTokenizer } from "../../../src/model/gguf/tokenizer.js";
import type { GgufValue } from "../../../src/tensor/formats/gguf/header.js";
import { byteTokens } from "../../support/byte-tokenizer.js";

const words = ["▁", "t", "h", "e", "n", "▁t", "he", "th", "▁th", "▁the", "en", "then", "▁then"];
const tokens = ["<unk>", "<s>", "</s>", ...byteTokens, ...words];
const idOf = (token: string) => tokens.indexOf(token);

// Later words have lower scores, bytes and control tokens 0, as in trained vocabularies.
const scoresOf = (vocabulary: readonly string[]) => Float32Array.from(vocabulary, (_, id) => Math.min(0, 258 - id));

async function tokenizer(fields: Readonly<Record<string, GgufValue>> = {}, vocabulary = tokens) {
  const values = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": vocabulary,
    "tokenizer.ggml.scores": scoresOf(vocabulary),
    "tokenizer.ggml.token_type": Int32Array.from(vocabulary, (_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    ...fields,
  };
  return (await ggufTokenizer(new GgufMetadata(new Map(Object.entries(values)), "model.gguf")))!;
}
const plain = { addSpecialTokens: false };

it("joins the pair whose token has the highest score first, after a prefix space", async () => {
  const spm = await tokenizer();
  // ▁ t h e n, ▁t h e n, ▁t he n, ▁the n, ▁then
  expect(spm.encode("then")).toEqual([1, idOf("▁then")]);
  expect(spm.encode("hen", plain)).toEqual([idOf("▁"), idOf("he"), idOf("n")]);
  expect(spm.decode(spm.encode("then  hen"))).toBe("then  hen");
});

it("follows other scores to other tokens, and equal ones in the order of ids", async () => {
  const scores = scoresOf(tokens).with(idOf("en"), -0.5);
  const spm = await tokenizer({ "tokenizer.ggml.scores": scores });
  expect(spm.encode("hen", plain)).toEqual([idOf("▁"), idOf("h"), idOf("en")]);
  for (const letters of ["βγδ", "αβγδεζηθικλμνξοπ"]) {
    const greek = Array.from(letters);
    const many = [...tokens, ...greek, ...greek.flatMap((a) => greek.map((b) => a + b)).reverse()];
    const tied = await tokenizer({ "tokenizer.ggml.scores": new Float32Array(many.length) }, many);
    expect(tied.encode("βγδ", plain)[1]).toBe(many.indexOf("βγ"));
  }
});

it("writes what no token covers as bytes, and reads it back", async () => {
  const spm = await tokenizer();
  expect(spm.encode("é\n", plain)).toEqual([idOf("▁"), idOf("<0xC3>"), idOf("<0xA9>"), idOf("<0x0A>")]);
  expect(spm.decode(spm.encode("é\n🙂"))).toBe("é\n🙂");
});

it("adds no prefix space and no beginning if the file says so", async () => {
  const spm = await tokenizer({ "tokenizer.ggml.add_space_prefix": false, "tokenizer.ggml.add_bos_token": false });
  expect(spm.encode("then")).toEqual([idOf("t"), idOf("he"), idOf("n")]);
  expect(spm.decode([idOf("▁then")])).toBe(" then");
});

it("knows control tokens in a text, and leaves them out of decoded text", async () => {
  const spm = await tokenizer();
  expect(spm.encode("</s>", plain)).toEqual([2]);
  expect(spm.decode([1, idOf("▁the"), 2])).toBe("the");
  expect(spm).toMatchObject({ vocabSize: tokens.length, bosTokenId: 1, eosTokenId: 2 });
});

it("keeps byte-order marks, with which tokens of Gemma begin, and takes the last of equal tokens", async () => {
  const marked = [...tokens, "#", "\uFEFF", "\uFEFF#", "#"];
  const spm = await tokenizer({ "tokenizer.ggml.add_space_prefix": false }, marked);
  for (const text of ["\uFEFF#", "#"]) {
    expect(spm.encode(text, plain)).toEqual([marked.lastIndexOf(text)]);
    expect(spm.decode([marked.indexOf(text)])).toBe(text);
  }
});

it("is refused without scores, with removed spaces, or with a token of absurd length", async () => {
  const withoutScores = tokenizer({ "tokenizer.ggml.scores": undefined as never });
  await expect(withoutScores).rejects.toThrow(/"tokenizer\.ggml\.scores" should be one number per token/);
  await expect(tokenizer({ "tokenizer.ggml.remove_extra_whitespaces": true })).rejects.toMatchObject({
    code: "gguf-tokenizer",
  });
  await expect(tokenizer({}, [...tokens, "x".repeat(1e6)])).rejects.toThrow(/1000000 characters, above 256/);
});
