/**
 * Screening changes no token: with the unembedding screened, greedy and top-k text is that of the full product, in
 * plain decoding, in batches, at exits and in lossless verification. What needs all logits does not screen.
 */
import { attachHeads, createPolicy, generateBatch, type GenerateOptions, type Model } from "early-exits";
import { createDevice, readModel } from "early-exits/node";
import { chooseUnembedding } from "../../../src/model/files/load.js";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { freeRows } from "../../../lab/check-lossless.js";
import { generated } from "../../support/generated.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";

const device = await createDevice("wasm");

const TOKENS = { maxNewTokens: 12, stopAtEndOfText: false } as const;
/** Wide enough that few of its logits compete. */
const wide = { ...smallConfigs["llama"]!, vocab_size: 1500 };

const write = async (model: Model, options: GenerateOptions = {}) =>
  (await generated(model, randomIds(7, 61, 1), options)).summary;

/** The ids written with the full product, and with screening; and what the ledger of the latter counted. */
async function bothWays(model: Model, options: GenerateOptions = {}) {
  model.setUnembedding("full");
  const full = await write(model, options);
  model.setUnembedding("screened");
  const screened = await write(model, options);
  return { full: full.ids, screened: screened.ids, counts: screened.ledger.decode };
}

describe("a screened unembedding", () => {
  it.each(Object.keys(smallConfigs))("writes the same greedy and top-k text: %s", async (name) => {
    for (const dtype of ["float32", "bfloat16"] as const) {
      const model = await smallModel({ config: smallConfigs[name]!, device, dtype });
      for (const options of [{}, { temperature: 1, topK: 5, seed: 3 }, { temperature: 0.7, topK: 1, topP: 0.9 }]) {
        const { full, screened, counts } = await bothWays(model, options);
        expect(screened).toEqual(full);
        expect(counts.screenedHeads).toBe(TOKENS.maxNewTokens);
      }
      model.dispose();
    }
  });

  it("writes the same text in a batch, and with drafts of one and of many tokens verified at once", async () => {
    const model = await smallModel({ config: wide, device });
    const heads = attachHeads(model, { exits: [2] });
    const prompts = [5, 9, 12].map((length, i) => randomIds(length, 61, i));
    const texts = async (way: "full" | "screened", options: GenerateOptions) => {
      model.setUnembedding(way);
      const batch = generateBatch(heads, prompts, { ...TOKENS, ...options });
      for await (const { prompt } of batch) expect(prompt).toBeLessThan(prompts.length);
      return batch.summaries.map(({ ids }) => ids);
    };
    for (const sampling of [{}, { temperature: 1, topK: 3 }]) {
      expect(await texts("screened", sampling)).toEqual(await texts("full", sampling));
    }
    const drafting = { policy: createPolicy(heads, "always"), lossless: { costs: freeRows } };
    expect(await texts("screened", drafting)).toEqual(await texts("full", {}));
    model.dispose();
  });

  it("reads the coarse copy and a few exact logits, as the ledger counts; sampling reads all", async () => {
    const model = await smallModel({ config: wide, device });
    const { counts } = await bothWays(model);
    expect(counts.finalHeads).toBe(TOKENS.maxNewTokens);
    expect(counts.screenedHeads).toBe(TOKENS.maxNewTokens);
    expect(counts.exactLogits).toBeGreaterThanOrEqual(TOKENS.maxNewTokens);
    expect(counts.exactLogits).toBeLessThan(20 * TOKENS.maxNewTokens);
    model.setUnembedding("full");
    const { ledger } = await write(model);
    expect(ledger.decode.screenedHeads).toBe(0);
    expect(counts.weightBytes).toBeLessThan(ledger.decode.weightBytes);
    expect(counts.multiplyAdds - ledger.decode.multiplyAdds).toBe(counts.exactLogits * model.config.hiddenSize);
    for (const options of [{ temperature: 1 }, { temperature: 1, topK: 5, repetitionPenalty: 1.1 }]) {
      const sampled = await bothWays(model, options);
      expect(sampled.screened).toEqual(sampled.full);
      expect(sampled.counts.screenedHeads).toBe(0);
    }
    model.dispose();
  });

  it("takes the full product where too many logits compete", async () => {
    const model = await smallModel({ config: wide, device, gain: 0 }); // all logits are equal
    const { full, screened, counts } = await bothWays(model);
    expect(screened).toEqual(full);
    expect([counts.screenedHeads, counts.exactLogits]).toEqual([TOKENS.maxNewTokens, 0]);
    model.dispose();
  });
});

describe("the choice of the unembedding", () => {
  it.each([
    ["int8 weights", "wasm", "int8", "as small as the coarse copy"],
    ["the reference device", "reference", "float32", "computes all logits at once"],
  ] as const)("refuses to screen %s, and auto takes the full product", async (_, backend, dtype, reason) => {
    const model = await smallModel({ device: backend === "wasm" ? device : createReferenceDevice(), dtype });
    expect(() => model.setUnembedding("screened")).toThrow(reason);
    await chooseUnembedding(model, "auto");
    expect(model.unembedding).toBe("full");
  });

  it("measures: auto screens if the clock says that it saves time, and only then", async () => {
    const model = await smallModel({
      config: {
        ...wide,
        tie_word_embeddings: true,
        hidden_size: 1024,
        intermediate_size: 8,
        num_hidden_layers: 1,
        vocab_size: 1024,
      },
      device,
    });
    const calls = { screened: 1, full: 1 };
    /** A clock that advances by what the way under way should take: they take turns, two readings each. */
    const clock = () => {
      let reading = 0;
      let time = 0;
      return () => {
        const ends = reading % 2 === 1;
        const way = (reading >> 1) % 2 === 0 ? "screened" : "full";
        reading++;
        return ends ? (time += calls[way]) : time;
      };
    };
    for (const [screened, full, expected] of [
      [1, 2, "screened"],
      [2, 1, "full"],
      [0.95, 1, "full"],
    ] as const) {
      Object.assign(calls, { screened, full });
      model.setUnembedding("full");
      await chooseUnembedding(model, "auto", { now: clock() });
      expect(model.unembedding).toBe(expected);
    }
    model.dispose();
  });

  it("is full for a small model: the embedded one", async () => {
    const model = await readModel("models/sotu-6", { device });
    expect(model.unembedding).toBe("full");
    const { full, screened } = await bothWays(model);
    expect(screened).toEqual(full);
    model.dispose();
  });
});
