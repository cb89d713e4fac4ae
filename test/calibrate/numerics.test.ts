/**
 * A model or a head that computes NaN or infinity ends training, recording, calibration and evaluation with an error
 * that names where it began. None of them may end in heads, a certificate or a score.
 */
import { attachHeads, calibrate, createModel, createPolicy, type Model, pretrain, trainHeads } from "early-exits";
import { recordDocuments, runPolicies } from "early-exits/calibrate";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { runOwnText } from "../../src/calibrate/record/own-text.js";
import { expectCode } from "../support/expect-code.js";
import { scorePassages } from "../../src/evaluate/score-passages.js";
import { damagedModel, damageHead, randomDocuments, randomIds, smallConfigs, smallModel } from "../support/models.js";

const device = createReferenceDevice();
const config = smallConfigs["llama"]!;
const documents = randomDocuments(12, 24);
const training = { steps: 3, batchSize: 2, sequenceLength: 16 };

const headsOn = (model: Model) => attachHeads(model, { exits: [1, 3], kind: "dense" });

describe("a model with NaN in its last block, behind all exits", () => {
  const model = damagedModel(device, "model.layers.3.mlp.down_proj.weight");
  const inBlock4 = { name: "NumericsError", code: "numerics-non-finite", details: { block: 4 } };

  it("is judged by nobody: records, certificates, runs of policies, own text, scores", async () => {
    const heads = headsOn(await model);
    const candidates = { score: "margin", fill: "lazy", thresholds: [["always", "never"]] } as const;
    for (const sampling of [{}, { temperature: 1 }]) {
      await expect(recordDocuments(heads, documents, { sampling })).rejects.toMatchObject(inBlock4);
      await expect(calibrate(heads, documents, { agreement: 0.5, sampling })).rejects.toMatchObject(inBlock4);
      await expect(runPolicies(heads, documents, candidates, { sampling })).rejects.toMatchObject(inBlock4);
      const written = runOwnText(heads, documents, candidates, { maxNewTokens: 4, sampling });
      await expect(written).rejects.toMatchObject(inBlock4);
    }
    const says = /^calibrate: the logits of the full model .* began in block 4 of 4/;
    await expect(calibrate(heads, documents, { agreement: 0.5 })).rejects.toThrow(says);
    heads.dispose();
  });

  it("teaches no heads", async () => {
    const heads = headsOn(await model);
    const says = "the logits of the full model hold NaN";
    await expectCode(trainHeads(heads, documents, training), "numerics-non-finite", says);
    heads.dispose();
  });

  it("is not evaluated", async () => {
    const passages = [
      { context: [1, 2, 3], continuation: [4, 5] },
      { context: [7], continuation: [8] },
    ];
    const scored = scorePassages(await model, passages);
    await expect(scored).rejects.toMatchObject(inBlock4);
    await expect(scored).rejects.toThrow(/^evaluate: the logits after position \d hold NaN or infinity/);
  });
});

it("a head with NaN is named by training, recording and evaluation", async () => {
  const heads = headsOn(await smallModel({ device }));
  damageHead(heads, 1);
  const says = /^trainHeads: the loss of the head at depth 3 is NaN in step 1 of 3/;
  await expectCode(trainHeads(heads, documents, training), "loss-non-finite", says);
  const passages = [{ context: [1, 2, 3], continuation: [4, 5] }];
  const scoring = scorePassages(heads, passages, [createPolicy(heads, [0, 0], { score: "margin" })]);
  await expectCode(scoring, "numerics-non-finite", /^evaluate: the logits of the exit at depth 3 /);
  const recorded = recordDocuments(heads, documents);
  await expectCode(recorded, "numerics-non-finite", /^calibrate: the logits of exit 1 /);
  await expect(recorded).rejects.toMatchObject({ details: { depth: 3, block: null } });
  heads.dispose();
});

it("a pretraining that overflows ends with an error", async () => {
  const model = createModel(config, { device, seed: 1 });
  const stream = Uint32Array.from(randomIds(400, 61, 7));
  const diverged = pretrain(model, stream, {
    ...training,
    steps: 40,
    learningRate: 1e6,
    warmup: 0,
    maxGradientNorm: 0,
  });
  await expect(diverged).rejects.toMatchObject({ name: "NumericsError" });
  model.dispose();
});
