/** A new kind of head is one more entry in the table: attaching, training, storing, pricing and decoding follow. */
import { attachHeads, createPolicy, generate, type HeadKind, serializeHeads, trainHeads } from "early-exits";
import { deserializeHeads, headCost } from "early-exits/exits";
import { createReferenceDevice, mul, Tensor } from "early-exits/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { definitions, type HeadKindDefinition } from "../../../src/exits/heads/kinds/index.js";
import { vocabularySpace } from "../../../src/exits/heads/kinds/vocabulary-space.js";
import { bytesOf, type Model, project } from "../../../src/model/index.js";
import { randomIds, smallModel } from "../../support/models.js";

/** U (a · n(x)) with a [1, C], which begins at ones: cheaper than a translator, no matrix of its own. */
const diagonal: HeadKindDefinition = {
  defaultInner: () => 0,
  weightShapes: ({ config: { hiddenSize } }) => ({ factors: [1, hiddenSize] }),
  initialWeights({ device, config: { hiddenSize } }) {
    const ones = new Float32Array(hiddenSize).fill(1);
    return Promise.resolve({ factors: Tensor.from(device, ones, [1, hiddenSize], { requiresGrad: true }) });
  },
  logits: (normed, { factors }, model) => project(mul(normed, factors as Tensor), model.weights.unembedding),
  space: () => vocabularySpace,
  multiplyAdds: ({ hiddenSize, vocabSize }) => hiddenSize + hiddenSize * vocabSize,
  modelBytes: (model) => bytesOf(model.weights.unembedding),
};

const kind = "diagonal" as HeadKind;
let model: Model;

beforeAll(async () => {
  (definitions as Record<string, HeadKindDefinition>)[kind] = diagonal;
  model = await smallModel({ device: createReferenceDevice() });
});

describe("a sixth kind of head", () => {
  it("begins as the logit lens, learns, and is stored bit for bit", async () => {
    const heads = attachHeads(model, { exits: [1, 3], kind });
    expect(heads.heads[0]!.shape).toEqual({ kind, inner: 0 });
    await heads.ready();
    const state = model.forward(randomIds(5, 61, 1), { toDepth: 3 }).get(3)!;
    const lens = await model.unembed(state).read();
    const logits = await heads.heads[1]!.trainingLogits(state).read();
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
    expect(headCost(model.config, kind)).toBe(c + c * v);
    const run = async (threshold: "always" | "never") => {
      const heads = attachHeads(model, { exits: [2], kind });
      const policy = createPolicy(heads, threshold);
      const generation = generate(heads, [1, 2, 3], { policy, maxNewTokens: 8, stopAtEndOfText: false });
      const depths: number[] = [];
      for await (const { depth } of generation) depths.push(depth);
      return { heads, depths, ledger: generation.summary.ledger };
    };
    const leaving = await run("always");
    expect(leaving.depths).toEqual(new Array(8).fill(2));
    const { multiplyAdds, bytes } = leaving.heads.heads[0]!;
    expect(multiplyAdds).toBe(c + c * v);
    expect(bytes).toBeGreaterThan(bytesOf(model.weights.unembedding));
    expect(leaving.ledger.headsByExit).toEqual([8]);
    const { ledger } = await run("never");
    expect(ledger.decode.multiplyAdds - ledger.plain.multiplyAdds).toBe(ledger.decode.heads * multiplyAdds);
    expect(ledger.decode.weightBytes - ledger.plain.weightBytes).toBe(ledger.decode.heads * bytes);
  });
});
