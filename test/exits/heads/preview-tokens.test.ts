/**
 * Previews of a list of tokens: with all tokens in the list they are previews of the vocabulary, bit for bit; they emit
 * no other token; their list is part of their files and their hash.
 */
import { casesHere, fc, test } from "../../support/property.js";
import { attachHeads, type ExitHeads, serializeHeads } from "early-exits";
import { deserializeHeads } from "../../../src/exits/heads/deserialize-heads.js";
import { fitPreviews, confidenceAt } from "early-exits/exits";
import type { WeightDtype } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { randomDocuments, randomIds, reread, smallConfigs, smallModel } from "../../support/models.js";
import { devicesHere } from "../../support/devices.js";

const devices = await devicesHere();
const V = 61;
const documents = randomDocuments(6, 24);
const model = await smallModel();
const all = Array.from({ length: V }, (_, id) => id);
const list = [3, 7, 8, 15, 21, 22, 40, 41, 59, 60];

/** Statistics of every head at random positions. */
async function statsOf(heads: ExitHeads, seed = 1) {
  const stats: Float32Array[] = [];
  for (const head of heads.heads) {
    const states = heads.model.forward(randomIds(7, V, seed), { toDepth: head.depth }).get(head.depth)!;
    stats.push(await head.stats(await head.logits(states)));
  }
  return stats;
}

const lists = fc.oneof(fc.uniqueArray(fc.nat(V - 1), { minLength: 2, maxLength: V }), fc.constant(all));
const setups = fc.record({
  device: fc.constantFrom("reference" as const, "wasm" as const),
  dtype: fc.constantFrom<WeightDtype>("float32", "int8", "int4"),
  config: fc.constantFrom("llama", "phi", "gpt2"), // phi's unembedding has a bias
  seed: fc.nat(3),
});

describe("a preview of a list", () => {
  test.prop([setups, fc.boolean()], { numRuns: casesHere(12) })(
    "of all tokens is the preview of the vocabulary, bit for bit",
    async ({ device, dtype, config, seed }, fitted) => {
      const model = await smallModel({ config: smallConfigs[config]!, device: devices[device], dtype, seed, gain: 4 });
      const preview = { rank: 5, candidates: 6 };
      const listed = attachHeads(model, {
        exits: [2],
        kind: "linear",
        preview: { ...preview, tokens: all },
        unembeddingPreview: { ...preview, tokens: all },
      });
      const whole = attachHeads(model, { exits: [2], preview, unembeddingPreview: preview });
      for (const heads of [listed, whole]) {
        if (fitted) await fitPreviews(heads, documents, { sequenceLength: 24 });
      }
      expect(await statsOf(listed, seed)).toEqual(await statsOf(whole, seed));
      expect(listed.heads.map(({ work }) => work.multiplyAdds)).toEqual(
        whole.heads.map(({ work }) => work.multiplyAdds),
      );
    },
  );

  test.prop([setups, lists], { numRuns: casesHere(20) })(
    "emits listed tokens only, the best by exact logits if the rank is full",
    async ({ device, dtype, config, seed }, tokens) => {
      const model = await smallModel({ config: smallConfigs[config]!, device: devices[device], dtype, seed, gain: 4 });
      const candidates = Math.max(2, tokens.length >> 1);
      const preview = { rank: model.config.hiddenSize, candidates };
      const heads = attachHeads(model, {
        exits: [2],
        kind: "linear",
        preview: { ...preview, tokens: tokens.toSorted((a, b) => a - b) },
        dtype: "float32",
      });
      const [head] = heads.heads;
      const h = await head!.logits(model.forward(randomIds(5, V, seed), { toDepth: 2 }).get(2)!);
      const stats = await head!.stats(h);
      const logits = await head!.allLogits(h);
      for (let r = 0; r < 5; r++) {
        const { argmax, top1, top2 } = confidenceAt(stats, r);
        const own = tokens.map((id) => logits[r * V + id]!).sort((a, b) => b - a);
        expect(tokens).toContain(argmax);
        expect(top1).toBe(logits[r * V + argmax]);
        if (dtype !== "float32") continue; // the coarse logits are those of weights that are not rounded
        expect(top1).toBeCloseTo(own[0]!, 4);
        expect(top2).toBeCloseTo(own[1]!, 4);
      }
    },
  );
});

describe("its list", () => {
  const size = { rank: 4, candidates: 3 };
  const attached = (tokens: readonly number[] = list) =>
    attachHeads(model, {
      exits: [2],
      preview: { ...size, tokens },
      unembeddingPreview: { rank: 6, candidates: 2, tokens: [1, 2, 60] },
    });

  it("comes back from the files with the same bits, and is part of the hash", async () => {
    const heads = attached();
    await fitPreviews(heads, documents, { sequenceLength: 24 });
    const { again, description, weights } = await reread(heads);
    expect(description.heads).toEqual([
      { depth: 2, kind: "linear", preview: { ...size, tokens: list } },
      { depth: 4, kind: "preview", preview: { rank: 6, candidates: 2, tokens: [1, 2, 60] } },
    ]);
    expect(await again.hash()).toBe(await heads.hash());
    expect(await statsOf(again)).toEqual(await statsOf(heads));
    const other = structuredClone(description);
    (other.heads[0]!.preview!.tokens as number[])[0] = 4;
    expect(await (await deserializeHeads(heads.model, other, weights)).hash()).not.toBe(await heads.hash());
  });

  it.each([
    ["a token twice", [3, 7, 7]],
    ["a token that does not exist", [3, 7, V]],
    ["text", ["3", "7", "8"]],
    ["one token", [3]],
    ["none", []],
    ["fewer tokens than candidates", [3, 7]],
    ["more tokens than there are", [...all, V]],
  ])("is refused with %s, in a file and as an option", async (_name, tokens) => {
    const heads = attached();
    const { description, weights } = await serializeHeads(heads);
    const [first, last] = description.heads;
    const tampered = { ...description, heads: [{ ...first!, preview: { ...size, tokens } }, last] };
    const refusal = { code: expect.stringMatching(/^(heads-tokens|heads-format|option-range)$/) as string };
    await expect(deserializeHeads(heads.model, tampered, weights)).rejects.toMatchObject(refusal);
    for (const option of ["preview", "unembeddingPreview"]) {
      const attach = () => attachHeads(model, { exits: [2], [option]: { ...size, tokens } });
      expect(attach).toThrow(expect.objectContaining(refusal));
    }
  });
});
