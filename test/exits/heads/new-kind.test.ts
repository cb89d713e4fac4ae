/**
 * A new map, or a new vocabulary, is one more entry in a table: attaching, training, storing, pricing and decoding
 * follow.
 */
import { attachHeads, createPolicy, generate, serializeHeads, trainHeads } from "early-exits";
import { deserializeHeads, headCost, type HeadMap, type HeadPair, type HeadVocabulary } from "early-exits/exits";
import { createReferenceDevice, mul, Tensor } from "early-exits/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { type HeadMapDefinition, maps } from "../../../src/exits/heads/maps/index.js";
import { initialNorm, normed, normShapes } from "../../../src/exits/heads/maps/norm.js";
import { type HeadVocabularyDefinition, vocabularies } from "../../../src/exits/heads/vocabularies/index.js";
import { bytesOf, type Model, project } from "../../../src/model/index.js";
import { randomIds, smallModel } from "../../support/models.js";

/** h = a · n(x) with a [C], which begins at ones: cheaper than a translator. */
const diagonal: HeadMapDefinition = {
  ...maps.none,
  weightShapes: (model) => ({ ...normShapes(model), factors: [model.config.hiddenSize] }),
  initialWeights(model) {
    const { hiddenSize } = model.config;
    const ones = new Float32Array(hiddenSize).fill(1);
    const factors = Tensor.from(model.device, ones, [hiddenSize], { requiresGrad: true });
    return Promise.resolve({ ...initialNorm(model), factors });
  },
  apply: (x, weights, model) => mul(normed(x, weights, model), weights["factors"] as Tensor),
  multiplyAdds: ({ hiddenSize }) => hiddenSize,
};

/** (U h) · t with one trained temperature t [1], which begins at one. */
const tempered: HeadVocabularyDefinition = {
  ...vocabularies.full,
  weightShapes: () => ({ temperature: [1] }),
  initialWeights: ({ device }) =>
    Promise.resolve({ temperature: Tensor.from(device, [1], [1], { requiresGrad: true }) }),
  logits: (h, { temperature }, model) => mul(project(h, model.weights.unembedding), temperature as Tensor),
  multiplyAdds: ({ hiddenSize, vocabSize }) => hiddenSize * vocabSize + vocabSize,
};

let model: Model;

beforeAll(async () => {
  (maps as Record<string, HeadMapDefinition>)["diagonal"] = diagonal;
  (vocabularies as Record<string, HeadVocabularyDefinition>)["tempered"] = tempered;
  model = await smallModel({ device: createReferenceDevice() });
});

const newMap: HeadPair = { map: "diagonal" as HeadMap, vocabulary: "full" };
const newVocabulary: HeadPair = { map: "linear", vocabulary: "tempered" as HeadVocabulary };

describe.each([
  ["a new map", newMap, (c: number, v: number) => c + c * v],
  ["a new vocabulary", newVocabulary, (c: number, v: number) => c * c + c * v + v],
] as const)("%s", (_, pair, cost) => {
  it("begins as the logit lens, learns, and is stored bit for bit", async () => {
    const heads = attachHeads(model, { exits: [1, 3], ...pair });
    expect(heads.heads[0]!.shape).toEqual({ ...pair, inner: 0 });
    await heads.ready();
    const state = model.forward(randomIds(5, 61, 1), { toDepth: 3 }).get(3)!;
    const lens = await model.unembed(state).read();
    const logits = await heads.heads[1]!.trainingLogitsOf(state).read();
    logits.forEach((value, i) => expect(value).toBeCloseTo(lens[i]!, 5));

    const losses: number[] = [];
    await trainHeads(heads, [randomIds(40, 61, 2)], {
      steps: 12,
      batchSize: 2,
      sequenceLength: 20,
      learningRate: 0.02,
      onStep: ({ loss }) => losses.push(loss),
    });
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const stored = await serializeHeads(heads);
    const again = await deserializeHeads(model, JSON.parse(JSON.stringify(stored.description)), stored.weights);
    expect(await again.hash()).toBe(await heads.hash());
  });

  it("decodes, and the ledger counts its multiply-adds and bytes", async () => {
    const { hiddenSize: c, vocabSize: v } = model.config;
    expect(headCost(model.config, pair)).toBe(cost(c, v));
    const run = async (threshold: "always" | "never") => {
      const heads = attachHeads(model, { exits: [2], ...pair });
      const policy = createPolicy(heads, threshold);
      const generation = generate(heads, [1, 2, 3], { policy, maxNewTokens: 8, stopAtEndOfText: false });
      const depths: number[] = [];
      for await (const { depth } of generation) depths.push(depth);
      return { heads, depths, ledger: generation.summary.ledger };
    };
    const leaving = await run("always");
    expect(leaving.depths).toEqual(new Array(8).fill(2));
    const { multiplyAdds, bytes } = leaving.heads.heads[0]!;
    expect(multiplyAdds).toBe(cost(c, v));
    expect(bytes).toBeGreaterThan(bytesOf(model.weights.unembedding));
    expect(leaving.ledger.headsByExit).toEqual([8]);
    const { ledger } = await run("never");
    expect(ledger.decode.multiplyAdds - ledger.plain.multiplyAdds).toBe(ledger.decode.heads * multiplyAdds);
    expect(ledger.decode.weightBytes - ledger.plain.weightBytes).toBe(ledger.decode.heads * bytes);
  });
});
