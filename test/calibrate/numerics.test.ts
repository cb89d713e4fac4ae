/**
 * A model or a head that computes NaN or infinity ends training, recording, calibration and evaluation with an error
 * that names where it began. None of them may end in heads, a certificate or a score.
 */
import {
  attachHeads,
  calibrate,
  createModel,
  createPolicy,
  loadModel,
  type Model,
  pretrain,
  trainHeads,
} from "early-exits";
import { memorySource } from "early-exits/model";
import type { NumericsError } from "../../src/errors.js";
import { recordDocuments, runPolicies } from "early-exits/calibrate";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { runOwnText } from "../../src/calibrate/record/own-text.js";
import { expectCode } from "../support/expect-code.js";
import { scorePassages } from "../../src/evaluate/score-passages.js";
import {
  damagedCheckpoint,
  damageHead,
  randomDocuments,
  randomIds,
  smallConfigs,
  smallModel,
} from "../support/models.js";

const device = createReferenceDevice();
const config = smallConfigs["llama"]!;
const documents = randomDocuments(12, 24);
const training = { steps: 3, batchSize: 2, sequenceLength: 16 };

const damagedModel = async (name: string) =>
  loadModel(config, memorySource(await damagedCheckpoint(name, NaN)), { device });
const headsOn = (model: Model) => attachHeads(model, { exits: [1, 3], kind: "dense" });

const failure = (work: Promise<unknown>) => work.then(() => undefined).catch((error: unknown) => error);

describe("a model with NaN in its last block, behind all exits", () => {
  const model = damagedModel("model.layers.3.mlp.down_proj.weight");
  const inBlock4 = { name: "NumericsError", code: "numerics-non-finite", details: { block: 4 } };

  it("is judged by nobody: records, certificates, runs of policies, own text, scores", async () => {
    const heads = headsOn(await model);
    const candidates = { score: "margin", fill: "lazy", thresholds: [["always", "never"]] } as const;
    for (const sampling of [{}, { temperature: 1 }]) {
      expect(await failure(recordDocuments(heads, documents, { sampling }))).toMatchObject(inBlock4);
      expect(await failure(calibrate(heads, documents, { agreement: 0.5, sampling }))).toMatchObject(inBlock4);
      expect(await failure(runPolicies(heads, documents, candidates, { sampling }))).toMatchObject(inBlock4);
      expect(await failure(runOwnText(heads, documents, candidates, { maxNewTokens: 4, sampling }))).toMatchObject(
        inBlock4,
      );
    }
    const error = await failure(calibrate(heads, documents, { agreement: 0.5 }));
    expect((error as NumericsError).message).toMatch(
      /^calibrate: the logits of the full model .* began in block 4 of 4/,
    );
    heads.dispose();
  });

  it("teaches no heads", async () => {
    const heads = headsOn(await model);
    expect(await failure(trainHeads(heads, documents, training))).toMatchObject({
      name: "NumericsError",
      message: expect.stringMatching(/the logits of the full model hold NaN/) as string,
    });
    heads.dispose();
  });

  it("is not evaluated", async () => {
    const passages = [
      { context: [1, 2, 3], continuation: [4, 5] },
      { context: [7], continuation: [8] },
    ];
    const error = await failure(scorePassages(await model, passages));
    expect(error).toMatchObject(inBlock4);
    expect((error as NumericsError).message).toMatch(/^evaluate: the logits after position \d hold NaN or infinity/);
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
  expect(await failure(recordDocuments(heads, documents))).toMatchObject({
    code: "numerics-non-finite",
    message: expect.stringMatching(/^calibrate: the logits of exit 1 /) as string,
    details: { depth: 3, block: null },
  });
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
  expect(await failure(diverged)).toMatchObject({ name: "NumericsError" });
  model.dispose();
});
