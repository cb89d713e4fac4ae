/** Exit heads: every kind begins as the logit lens, is stored bit for bit, and belongs to one model. */
import { attachHeads, serializeHeads, trainHeads, type WeightDtype } from "early-exits";
import { defaultKind, placeExits } from "early-exits/exits";
import { deserializeHeads } from "../../../src/exits/heads/deserialize-heads.js";
import { describe, expect, it } from "vitest";
import { askedHeads, attachOptionsOf, randomIds, reread, smallConfigs, smallModel } from "../../support/models.js";
import { devicesHere } from "../../support/devices.js";
import { expectCode } from "../../support/expect-code.js";

const model = await smallModel();
const { wasm } = await devicesHere();

describe("placement", () => {
  it("has the golden block indices of both versions (depth = index + 1)", () => {
    for (const [layers, exits, v2, v1] of [
      [6, 4, [1, 2, 3, 4], [1, 2, 3, 4]],
      [12, 4, [2, 4, 7, 9], [2, 4, 6, 8]],
      [24, 4, [4, 9, 14, 19], [4, 8, 12, 16]],
      [28, 4, [5, 11, 16, 22], [5, 10, 15, 20]],
      [32, 4, [6, 12, 19, 25], [6, 12, 18, 24]],
      [32, 3, [8, 16, 24], [8, 16, 24]],
    ] as const) {
      expect(placeExits(layers, exits, "v2").map((depth) => depth - 1)).toEqual(v2);
      expect(placeExits(layers, exits, "v1").map((depth) => depth - 1)).toEqual(v1);
    }
  });

  it("refuses more exits than fit, and depths that are not ascending blocks", () => {
    expect(() => placeExits(4, 4)).toThrow(/integer in \[1, 3\], found 4/);
    for (const exits of [[0], [5], [2, 2], [3, 1], [], [1.5]]) {
      expect(() => attachHeads(model, { exits })).toThrow(/ascending integers in \[1, 4\]/);
    }
    expect(() => attachHeads(model, { kind: "odd" as "dense" })).toThrow(/choose one of dense, linear/);
    expect(() => attachHeads(model, { kind: "dense", preview: true })).toThrow(/linear heads may have one/);
    for (const preview of [{ rank: 0 }, { rank: 25 }, { candidates: 1 }]) {
      expect(() => attachHeads(model, { kind: "linear", preview })).toThrow(/preview/);
    }
  });
});

describe.each(askedHeads)("a head: $name", (asked) => {
  it.each(["gpt2, untied, n_inner, gelu", "llama"])("begins as the logit lens of %s", async (name) => {
    const model = await smallModel({ config: smallConfigs[name]! });
    const heads = attachHeads(model, { exits: [2], ...attachOptionsOf(asked) });
    const state = model.forward(randomIds(5, 61, 1), { toDepth: 2 }).get(2)!;
    const head = heads.heads[0]!;
    const lens = await model.unembed(state).read();
    const logits = await head.allLogits(await head.logits(state));
    logits.forEach((value, i) => expect(value).toBeCloseTo(lens[i]!, 4));
    const training = await head.trainingLogits(state).read();
    training.forEach((value, i) => expect(value).toBeCloseTo(logits[i]!, 5));
  });

  it("is stored and read back bit for bit, trained or not", async () => {
    const heads = attachHeads(model, { exits: [1, 3], ...attachOptionsOf(asked) });
    await trainHeads(heads, [randomIds(40, 61, 2)], { steps: 2, batchSize: 1, sequenceLength: 20 });
    const { again, weights } = await reread(heads);
    expect(again.depths).toEqual([1, 3]);
    expect((await serializeHeads(again)).weights).toEqual(weights);
    expect(await again.hash()).toBe(await heads.hash());
  });
});

describe("heads", () => {
  it("are packed and stored with a dtype of their own, whatever the model's", async () => {
    const state = model.forward(randomIds(5, 61, 1), { toDepth: 2 }).get(2)!;
    const logitsOf = async (dtype?: WeightDtype) => {
      const heads = attachHeads(model, { exits: [2], ...(dtype && { dtype }) });
      const { again } = await reread(heads);
      const logits = await (await heads.heads[0]!.logits(state)).read();
      expect(await (await again.heads[0]!.logits(state)).read()).toEqual(logits);
      return { bytes: heads.heads[0]!.work.bytes, logits };
    };
    const same = await logitsOf();
    const full = await logitsOf("float32");
    const coarse = await logitsOf("int8");
    expect(full.logits).toEqual(same.logits);
    expect(coarse.logits).not.toEqual(same.logits);
    coarse.logits.forEach((value, i) => expect(Math.abs(value - same.logits[i]!)).toBeLessThan(0.05));
    expect(coarse.bytes).toBeLessThan(same.bytes / 2);
    expect(() => attachHeads(model, { dtype: "int3" as "int8" })).toThrow(
      /choose one of float32, bfloat16, int8, int4/,
    );
  });

  it("are linear by default if the unembedding is large, and dense otherwise", () => {
    expect(defaultKind({ hiddenSize: 576, vocabSize: 49_152 })).toBe("linear");
    expect(defaultKind({ hiddenSize: 128, vocabSize: 1024 })).toBe("dense");
  });

  it("of another model are refused, and so are malformed descriptions", async () => {
    const other = await smallModel({ seed: 2 });
    const { description, weights } = await serializeHeads(attachHeads(model, { exits: [2] }));
    await expectCode(deserializeHeads(other, description, weights), "heads-model");
    for (const [change, code, says] of [
      [{ version: 6 }, "heads-version", "update the library"],
      [{ version: 4 }, "heads-version", "npx tsx scripts/convert.ts FOLDER"],
      [{ format: "other" }, "heads-format"],
      [{ heads: [{ depth: 2, kind: "odd" }] }, "heads-format"],
      [{ heads: [{ depth: 3, kind: "dense" }] }, "tensor-not-found", "exits.3"],
      [{ heads: [{ depth: 2, kind: "linear" }] }, "tensor-not-found", "exits.2.map"],
      [{ heads: [{ depth: 2, kind: "preview" }] }, "heads-kind"],
      [{ taught: { every: 0, hashes: [] } }, "heads-format"],
    ] as const) {
      await expectCode(deserializeHeads(model, { ...description, ...change }, weights), code, says);
    }
    await expectCode(deserializeHeads(model, null, weights), "heads-format");
  });

  it("leave nothing behind where one is refused, and do nothing once they are disposed of", async () => {
    const model = await smallModel({ device: wasm });
    const preview = { rank: 9, candidates: 5, first: { rank: 8, candidates: 9 } };
    const others = attachHeads(model, { exits: [2], preview });
    await others.heads[0]!.preview!.packed(); // takes working memory
    others.dispose();
    const { used } = model.device.memory!();
    expect(() => attachHeads(model, { exits: [2], kind: "linear", unembeddingPreview: { rank: 99 } })).toThrow(/rank/);
    const heads = attachHeads(model, { exits: [2], preview });
    await expectCode(trainHeads(heads, [[1, 2]], { list: [1, 1] }), "heads-tokens");
    await heads.heads[0]!.preview!.packed();
    const { description, weights } = await serializeHeads(heads);
    const held = model.device.memory!();
    const last = { ...description, heads: [{ ...description.heads[0]!, kind: "preview" }] };
    await expectCode(deserializeHeads(model, last, weights), "heads-kind", "not at depth 2");
    expect(model.device.memory!()).toEqual(held);
    heads.dispose();
    expect(model.device.memory!().used - used).toBeLessThan(9000); // 8 kB of working memory
    await expectCode(serializeHeads(heads), "heads-disposed");
  });

  it("are packed on first use, and again after training, whose changes they show", async () => {
    const heads = attachHeads(model, { exits: [2] });
    const [head] = heads.heads;
    const state = model.forward([1, 2], { toDepth: 2 }).get(2)!;
    const read = async () => (await head!.logits(state)).read();
    const [before, hash] = [await read(), await heads.hash()];
    expect(await Promise.all([read(), read()])).toEqual([before, before]);
    await trainHeads(heads, [randomIds(40, 61, 2)], {
      steps: 2,
      batchSize: 1,
      sequenceLength: 20,
      onStep: async ({ step }) => {
        const [own, training] = [await read(), await head!.trainingLogits(state).read()];
        own.forEach((value, i) => expect(value).toBeCloseTo(training[i]!, 5));
        if (step === 1) expect(await heads.hash()).not.toBe(hash);
      },
    });
    expect(await read()).not.toEqual(before);
    expect(await read()).toEqual(await head!.trainingLogits(state).read());
  });
});
