/** Exit heads: every kind begins as the logit lens, is stored bit for bit, and belongs to one model. */
import { attachHeads, scoreNames, serializeHeads, trainHeads, type WeightDtype } from "early-exits";
import { createReferenceDevice, parseSafetensors } from "early-exits/tensor";
import { defaultKind, deserializeHeads, placeExits } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { topSingularVectors } from "../../../src/tensor/top-eigenvectors.js";
import { atOnce } from "../../../src/turns.js";
import { createRng } from "../../../src/tensor/rng.js";
import { scope } from "../../../src/tensor/tensor.js";
import { headPairs, randomIds, smallConfigs, smallModel } from "../../support/models.js";

const device = createReferenceDevice();

describe("placement", () => {
  it("has the golden block indices of both versions (depth = index + 1)", () => {
    const golden: [number, number, number[], number[]][] = [
      [6, 4, [1, 2, 3, 4], [1, 2, 3, 4]],
      [12, 4, [2, 4, 7, 9], [2, 4, 6, 8]],
      [24, 4, [4, 9, 14, 19], [4, 8, 12, 16]],
      [28, 4, [5, 11, 16, 22], [5, 10, 15, 20]],
      [32, 4, [6, 12, 19, 25], [6, 12, 18, 24]],
      [32, 3, [8, 16, 24], [8, 16, 24]],
    ];
    for (const [layers, exits, v2, v1] of golden) {
      expect(placeExits(layers, exits, "v2").map((depth) => depth - 1)).toEqual(v2);
      expect(placeExits(layers, exits, "v1").map((depth) => depth - 1)).toEqual(v1);
    }
  });

  it("refuses more exits than fit, and depths that are not ascending blocks", async () => {
    const model = await smallModel({ device });
    expect(() => placeExits(4, 4)).toThrow(/integer in \[1, 3\], found 4/);
    for (const exits of [[0], [5], [2, 2], [3, 1], [], [1.5]]) {
      expect(() => attachHeads(model, { exits })).toThrow(/ascending integers in \[1, 4\]/);
    }
    expect(() => attachHeads(model, { kind: "odd" as "dense" })).toThrow(
      /choose one of dense, tied, lowRank, mlp, shortlist, linear/,
    );
    expect(() => attachHeads(model, { map: "odd" as "none" })).toThrow(/choose one of none, linear, translator/);
    expect(() => attachHeads(model, { vocabulary: "odd" as "full" })).toThrow(/choose one of full, trained, shortlist/);
    expect(() => attachHeads(model, { kind: "dense", map: "none" })).toThrow(/either the kind or those two/);
  });
});

describe.each(headPairs)("$map + $vocabulary head", (pair) => {
  it.each(["gpt2, untied, n_inner, gelu", "llama"])("begins as the logit lens of %s", async (name) => {
    const model = await smallModel({ config: smallConfigs[name]!, device });
    const heads = attachHeads(model, {
      exits: [2],
      ...pair,
      ...(pair.map === "lowRank" && { inner: model.config.hiddenSize }),
    });
    await heads.freeze();
    const state = model.forward(randomIds(5, 61, 1), { toDepth: 2 }).get(2)!;
    const head = heads.heads[0]!;
    const lens = await model.unembed(state).read();
    const over = await head.readLogits(head.logits(state)); // the vocabulary
    over.forEach((value, i) => {
      if (value > -Infinity) expect(value).toBeCloseTo(lens[i]!, 4);
    });
    const all = head.scores.length === scoreNames.length; // or the head gives vectors in place of logits
    const logits = all ? await head.logits(state).read() : over;
    const training = await head.trainingLogitsOf(state).read();
    training.forEach((value, i) => expect(value).toBeCloseTo(logits[i]!, 5));
  });

  it("is stored and read back bit for bit, trained or not", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 3], ...pair, seed: 3 });
    await trainHeads(heads, [randomIds(40, 61, 2)], { steps: 2, batchSize: 1, sequenceLength: 20 });
    const stored = await serializeHeads(heads);
    const again = await deserializeHeads(model, JSON.parse(JSON.stringify(stored.description)), stored.weights);
    expect(again.depths).toEqual([1, 3]);
    expect((await serializeHeads(again)).weights).toEqual(stored.weights);
    expect(await again.hash()).toBe(await heads.hash());
  });
});

describe("heads", () => {
  it("of kind lowRank begin with the best approximation of rank r", async () => {
    const model = await smallModel({ device });
    const unembedding = await model.weights.unembedding.weight.read();
    const error = async (inner: number): Promise<number> => {
      const head = attachHeads(model, { exits: [1], kind: "lowRank", inner });
      await head.ready();
      const { weight, down } = head.heads[0]!.weights;
      const u = await weight!.read();
      const d = await down!.read();
      let sum = 0;
      for (let v = 0; v < 61; v++) {
        for (let c = 0; c < 24; c++) {
          let value = 0;
          for (let r = 0; r < inner; r++) value += u[v * inner + r]! * d[r * 24 + c]!;
          sum += (value - unembedding[v * 24 + c]!) ** 2;
        }
      }
      return sum;
    };
    const energies = Array.from(atOnce(topSingularVectors(unembedding, 61, 24, 24, createRng(1))));
    expect(energies).toHaveLength(24 * 24);
    const errors = [await error(4), await error(12), await error(24)];
    expect(errors[0]!).toBeGreaterThan(errors[1]!);
    expect(errors[1]!).toBeGreaterThan(errors[2]!);
    expect(errors[2]!).toBeLessThan(1e-6);
    // Eckart-Young: no random subspace of the same rank does better.
    const total = unembedding.reduce((sum, value) => sum + value * value, 0);
    expect(errors[1]!).toBeLessThan(total * (1 - 12 / 24));
  });

  it("are packed and stored with a dtype of their own, whatever the model's", async () => {
    const model = await smallModel({ device });
    const state = model.forward(randomIds(5, 61, 1), { toDepth: 2 }).get(2)!;
    const logitsOf = async (dtype?: WeightDtype) => {
      const heads = attachHeads(model, { exits: [2], ...(dtype && { dtype }) });
      const stored = await serializeHeads(heads);
      const again = await deserializeHeads(model, JSON.parse(JSON.stringify(stored.description)), stored.weights);
      for (const each of [heads, again]) await each.freeze();
      expect(await again.heads[0]!.logits(state).read()).toEqual(await heads.heads[0]!.logits(state).read());
      return {
        version: stored.description.version,
        bytes: heads.heads[0]!.bytes,
        logits: await heads.heads[0]!.logits(state).read(),
      };
    };
    const same = await logitsOf();
    const full = await logitsOf("float32");
    const coarse = await logitsOf("int8");
    expect([same.version, full.version, coarse.version]).toEqual([1, 3, 3]);
    expect(full.logits).toEqual(same.logits);
    expect(coarse.logits).not.toEqual(same.logits);
    coarse.logits.forEach((value, i) => {
      expect(Math.abs(value - same.logits[i]!)).toBeLessThan(0.05);
    });
    expect(coarse.bytes).toBeLessThan(same.bytes / 2);
    expect(() => attachHeads(model, { dtype: "int3" as "int8" })).toThrow(
      /choose one of float32, bfloat16, int8, int4/,
    );
  });

  it("with a name that versions 1 to 3 know are stored as those versions store them", async () => {
    const model = await smallModel({ device });
    const stored = async (options: Parameters<typeof attachHeads>[1]) => {
      const { description, weights } = await serializeHeads(attachHeads(model, { exits: [2], ...options }));
      const names = parseSafetensors(weights).names;
      return { version: description.version, head: description.heads[0], names };
    };
    const norm = "exits.2.normGain";
    expect(await stored({ kind: "lowRank", inner: 5 })).toEqual({
      version: 1,
      head: { depth: 2, kind: "lowRank", inner: 5 },
      names: ["exits.2.down", norm, "exits.2.up"],
    });
    expect(await stored({ map: "none", vocabulary: "trainedShortlist", shortlist: [4, 2], dtype: "int8" })).toEqual({
      version: 3,
      head: { depth: 2, kind: "shortlist", inner: 2, shortlist: [2, 4], dtype: "int8" },
      names: ["exits.2.bias", norm, "exits.2.weight"],
    });
    expect(await stored({ kind: "linearShortlist", shortlist: [2, 4] })).toEqual({
      version: 4,
      head: { depth: 2, map: "linear", vocabulary: "shortlist", inner: 0, shortlist: [2, 4] },
      names: ["bias", "map", "mapBias", "normGain", "rest"].map((name) => `exits.2.${name}`),
    });
  });

  it("with one shortlist share its rows, which are freed with the last of them", async () => {
    const model = await smallModel({ device });
    const attach = () => attachHeads(model, { exits: [1, 2], kind: "linearShortlist", shortlist: [3, 5, 8] });
    const one = attach();
    const other = attach();
    for (const heads of [one, other]) await heads.freeze();
    const state = model.forward([1, 2], { toDepth: 1 }).get(1)!;
    const logits = await one.heads[0]!.logits(state).read();
    one.dispose();
    expect(await other.heads[0]!.logits(state).read()).toEqual(logits);
    other.dispose();
    const again = attach();
    await again.freeze();
    expect(await again.heads[0]!.logits(state).read()).toEqual(logits);
  });

  it("are linear by default if the unembedding is large, and dense otherwise", () => {
    expect(defaultKind({ hiddenSize: 576, vocabSize: 49_152 })).toBe("linear");
    expect(defaultKind({ hiddenSize: 128, vocabSize: 1024 })).toBe("dense");
  });

  it("of another model are refused, and so are malformed descriptions", async () => {
    const model = await smallModel({ device });
    const other = await smallModel({ device, seed: 2 });
    const { description, weights } = await serializeHeads(attachHeads(model, { exits: [2] }));
    await expect(deserializeHeads(other, description, weights)).rejects.toMatchObject({ code: "heads-model" });
    await expect(deserializeHeads(model, { ...description, version: 5 as 3 }, weights)).rejects.toThrow(
      /version 5 is not supported/,
    );
    await expect(deserializeHeads(model, { format: "other" }, weights)).rejects.toMatchObject({ code: "heads-format" });
    await expect(deserializeHeads(model, null, weights)).rejects.toMatchObject({ code: "heads-format" });
    await expect(
      deserializeHeads(model, { ...description, heads: [{ depth: 2, kind: "odd", inner: 0 }] }, weights),
    ).rejects.toMatchObject({ code: "heads-format" });
    await expect(
      deserializeHeads(model, { ...description, heads: [{ depth: 3, kind: "dense", inner: 0 }] }, weights),
    ).rejects.toThrow(/exits.3/);
    await expect(
      deserializeHeads(model, { ...description, heads: [{ depth: 2, kind: "tied", inner: 0 }] }, weights),
    ).rejects.toThrow(/translator/);
  });

  it("refuse logits before freeze() and weights before ready()", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model);
    expect(() => heads.parameters).toThrow(/await heads.ready\(\)/);
    await heads.ready();
    const state = scope(() => model.forward([1, 2], { toDepth: 1 }).get(1)!);
    expect(() => heads.heads[0]!.logits(state)).toThrow(/await heads.freeze\(\)/);
  });
});
