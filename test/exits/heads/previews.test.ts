/**
 * Previews: the candidates are the tokens with the largest coarse logits, their logits are exact, fitted previews are
 * the best of their rank, and heads with one decode, are calibrated and take over the maps of others.
 */
import { attachHeads, calibrate, createPolicy, generate, serializeHeads } from "early-exits";
import { changePreviews } from "../../../src/exits/train/change-previews.js";
import { deserializeHeads } from "../../../src/exits/heads/deserialize-heads.js";
import { fitMaps, fitPreviews, fitProjections, type PreviewShape } from "early-exits/exits";
import { createReferenceDevice, Tensor } from "early-exits/tensor";
import { createDevice } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { confidenceAt } from "../../../src/exits/heads/score.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";

const device = createReferenceDevice();
const documents = Array.from({ length: 12 }, (_, i) => randomIds(24, 61, i));

describe("a preview", () => {
  it("of full rank finds the argmax and the margin of the full product", async () => {
    const model = await smallModel({ device });
    const { hiddenSize } = model.config;
    const state = model.forward(randomIds(9, 61, 1), { toDepth: 2 }).get(2)!;
    const confidencesOf = async (preview: false | Partial<PreviewShape>) => {
      const heads = attachHeads(model, { exits: [2], kind: "linear", preview, dtype: "float32" });
      return heads.heads[0]!.confidences(await heads.heads[0]!.logits(state));
    };
    const full = await confidencesOf(false);
    for (const [r, found] of (await confidencesOf({ rank: hiddenSize, candidates: 4 })).entries()) {
      expect(found.argmax).toBe(full[r]!.argmax);
      expect(found.top1).toBeCloseTo(full[r]!.top1, 5);
      expect(found.top2).toBeCloseTo(full[r]!.top2, 5);
      expect([found.logSumExp, found.entropy]).toEqual([NaN, NaN]);
    }
  });

  it.each(Object.keys(smallConfigs))("has exact logits at its candidates: %s", async (name) => {
    const model = await smallModel({ config: smallConfigs[name]!, device });
    const heads = attachHeads(model, { exits: [1], kind: "linear", preview: { rank: 3, candidates: 5 } });
    const [head] = heads.heads;
    const h = await head!.logits(model.forward(randomIds(7, 61, 2), { toDepth: 1 }).get(1)!);
    const stats = await head!.stats(h);
    const logits = await head!.allLogits(h);
    for (let r = 0; r < 7; r++) {
      const { argmax, top1, top2 } = confidenceAt(stats, r);
      expect(top1).toBeCloseTo(logits[r * 61 + argmax]!, 5);
      expect(top2).toBeLessThanOrEqual(top1);
    }
  });

  it("that is fitted has the smallest error of its rank on the vectors that it was fitted to", async () => {
    const model = await smallModel({ device, gain: 3 });
    const heads = attachHeads(model, { exits: [2], kind: "linear", preview: { rank: 4, candidates: 2 } });
    const states = documents.map((document) => model.forward(document, { toDepth: 2 }).get(2)!);
    /** Mean square error of the coarse logits. */
    const errorOf = async (perturb = 0): Promise<number> => {
      const head = heads.heads[0]!;
      const { previewDown, previewLift } = (await head.preview!.weights()).tensors;
      const down = (await previewDown!.read()).map((value, i) => value + perturb * Math.sin(i));
      const lift = await previewLift!.read();
      const unembedding = await model.weights.unembedding.weight.read();
      let sum = 0;
      for (const state of states) {
        const h = await head.vectors!(state).read();
        for (let r = 0; r < h.length / 24; r++) {
          const row = h.subarray(r * 24, (r + 1) * 24);
          // h minus its approximation, through U
          const rest = Float64Array.from(row);
          for (let k = 0; k < 4; k++) {
            const a = row.reduce((total, value, c) => total + value * down[k * 24 + c]!, 0);
            for (let c = 0; c < 24; c++) rest[c]! -= a * lift[k * 24 + c]!;
          }
          for (let v = 0; v < 61; v++) {
            sum += rest.reduce((total, value, c) => total + value * unembedding[v * 24 + c]!, 0) ** 2;
          }
        }
      }
      return sum;
    };
    const before = await errorOf();
    await fitPreviews(heads, documents, { sequenceLength: 24, batchSize: 12 });
    const best = await errorOf();
    expect(best).toBeLessThan(before);
    for (const perturb of [0.01, -0.01]) expect(await errorOf(perturb)).toBeGreaterThan(best);
  });

  it("has a margin, but no entropy", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 3], kind: "linear", preview: true });
    expect(heads.scores).toEqual(["margin"]);
    const policy = createPolicy(heads, "always", { score: "entropy" });
    await expect(async () => {
      await generate(heads, [1, 2], { policy, maxNewTokens: 2 })[Symbol.asyncIterator]().next();
    }).rejects.toThrow(/entropy, which these heads do not have; choose one of margin/);
  });

  it("is calibrated and decoded by its scores", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 3], kind: "linear", preview: true });
    await fitPreviews(heads, documents, { sequenceLength: 24 });
    const { policy } = await calibrate(heads, documents, { agreement: 0.5, delta: 0.2 });
    expect(policy.score).toBe("margin");
    await expect(calibrate(heads, documents, { score: "entropy" })).rejects.toThrow(/choose one of margin/);
    for (const temperature of [0, 1]) {
      const run = generate(heads, [1, 2, 3], {
        policy: createPolicy(heads, "always", { score: "margin" }),
        temperature,
        maxNewTokens: 5,
        stopAtEndOfText: false,
      });
      const depths: number[] = [];
      for await (const { depth } of run) depths.push(depth);
      expect(depths).toEqual([1, 1, 1, 1, 1]);
    }
  });

  it("comes back from its files with the same bits", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [2], kind: "linear", preview: true, dtype: "int8" });
    await fitPreviews(heads, documents, { sequenceLength: 24 });
    const { description, weights } = await serializeHeads(heads);
    expect(description.heads[0]!.preview).toEqual({ rank: 4, candidates: 30 });
    const again = await deserializeHeads(model, JSON.parse(JSON.stringify(description)), weights);
    const state = model.forward([1, 2, 3], { toDepth: 2 }).get(2)!;
    const [a, b] = [heads.heads[0]!, again.heads[0]!];
    expect(await b.stats(await b.logits(state))).toEqual(await a.stats(await a.logits(state)));
    for (const preview of [
      { rank: 0, candidates: 4 },
      { rank: 25, candidates: 4 },
      { rank: 3, candidates: 1 },
    ]) {
      expect(() => attachHeads(model, { preview })).toThrow(/preview/);
    }
  });
});

describe("changePreviews", () => {
  it("keeps maps and learned keys and values, and nothing else", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 3], kind: "linear" });
    await fitMaps(heads, documents, { sequenceLength: 24 });
    await fitProjections(heads, documents, { sequenceLength: 24 });
    const changed = await changePreviews(heads, { preview: true });
    expect(changed.heads[0]!.shape).toMatchObject({ kind: "linear", preview: { rank: 4 } });
    expect(changed.scores).toEqual(["margin"]);
    const state = model.forward([1, 2, 3], { toDepth: 3 }).get(3)!;
    const before = await heads.heads[1]!.vectors!(state).read();
    expect(await changed.heads[1]!.vectors!(state).read()).toEqual(before);
    const { projection } = heads.heads[0]!;
    expect(changed.heads[0]!.projection!.weight).toEqual(projection!.weight);
    heads.dispose();
    expect(await changed.heads[1]!.vectors!(state).read()).toEqual(before);
    const whole = await changePreviews(changed, { preview: false });
    expect(whole.heads[0]!.shape).toEqual({ kind: "linear" });
  });

  it("refuses heads with an unembedding of their own", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1], kind: "dense" });
    await expect(changePreviews(heads, { preview: true })).rejects.toThrow(/previews are for linear heads/);
  });
});

it("random states: one row or many, the statistics are the same", async () => {
  const model = await smallModel({ device });
  const heads = attachHeads(model, { exits: [2], kind: "linear", preview: true });
  const head = heads.heads[0]!;
  const state = model.forward(randomIds(6, 61, 3), { toDepth: 2 }).get(2)!;
  const h = await head.logits(state);
  const together = await head.stats(h);
  const values = await h.read();
  for (let r = 0; r < 6; r++) {
    const alone = Tensor.from(device, values.subarray(r * 24, (r + 1) * 24), [1, 24]);
    expect(await head.stats(alone)).toEqual(together.subarray(r * 5, (r + 1) * 5));
  }
});

describe("heads and their device", () => {
  it("may be disposed of in one go: nothing is freed on a device that is gone", async () => {
    const own = await createDevice("wasm");
    const model = await smallModel({ device: own });
    const heads = attachHeads(model, { exits: [2], kind: "linear", preview: true });
    const rejected: unknown[] = [];
    const note = (error: unknown): void => void rejected.push(error);
    process.on("unhandledRejection", note);
    heads.dispose();
    model.dispose();
    await own.dispose();
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", note);
    expect(rejected).toEqual([]);
  });
});
