/**
 * The whole story in seconds: train a model from scratch, freeze it, attach and train exits, calibrate, leave early.
 */
import { mean } from "d3-array";
import {
  attachHeads,
  calibrate,
  createModel,
  generate,
  loadModel,
  pretrain,
  splitDocuments,
  trainHeads,
} from "early-exits";
import { argmax, Tensor } from "early-exits/tensor";
import { byteTokenizer } from "../support/byte-tokenizer.js";
import { llamaConfigJson, memorySource, serializeModel, tokenStream } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { expect, it } from "vitest";

it("a model learns to write, its exits to predict it, and most tokens leave without changing the text", async () => {
  const device = await createDevice("auto");
  // All documents differ, because a certificate counts copies once.
  const [animals, verbs, places] = [
    "cat dog fox hen pig cow",
    "sat ran hid lay dug fed",
    "mat fog box hay mud pen",
  ].map((words) => words.split(" ")) as [string[], string[], string[]];
  const sentences = animals.flatMap((a) => verbs.flatMap((v) => places.map((p) => `the ${a} ${v} in the ${p}.`)));
  const text = sentences.join("\n\n");
  const { train, held } = splitDocuments(text, { train: 0.3, seed: 1 });

  // Pretrain a small llama on bytes, store it as a checkpoint, and load it frozen.
  const config = llamaConfigJson({
    vocabSize: 257,
    hiddenSize: 32,
    numLayers: 4,
    numHeads: 4,
    numKvHeads: 2,
    intermediateSize: 64,
    maxPositionEmbeddings: 64,
    tieWordEmbeddings: true,
    bosTokenId: 256,
    eosTokenIds: [256],
  });
  const fresh = createModel(config, { device, seed: 1, tokenizer: byteTokenizer() });
  const last = await pretrain(fresh, tokenStream(fresh, train), {
    steps: 110,
    batchSize: 3,
    sequenceLength: 48,
    learningRate: 2e-2,
  });
  expect(last!.loss).toBeLessThan(0.8);
  const model = await loadModel(config, memorySource(await serializeModel(fresh)), {
    device,
    tokenizer: byteTokenizer(),
  });

  // Self-supervised exits: agreement rises over the logit lens they begin as.
  const heads = attachHeads(model, { exits: [1, 2, 3] });
  const agreement: number[][] = [];
  await trainHeads(heads, train, {
    steps: 60,
    batchSize: 4,
    sequenceLength: 48,
    learningRate: 5e-3,
    onStep: (step) => agreement.push([...step.agreement]),
  });
  expect(mean(agreement.slice(-3).flat())).toBeGreaterThan(mean(agreement.slice(0, 3).flat())! + 0.05);

  // Certify on held-out documents, generate with and without exits.
  const { policy, certificate } = await calibrate(heads, held, { agreement: 0.95, delta: 0.05 });
  expect(certificate).toMatchObject({ agreement: 0.95, loss: "token", furtherUnits: 0 });
  expect(certificate.measured.agreement).toBeGreaterThan(0.95);
  const write = async (source: typeof heads | typeof model, options: object) => {
    const run = generate(source, "the cat ", { maxNewTokens: 40, ...options });
    await run.text();
    return run.summary;
  };
  const early = await write(heads, { policy });
  const plain = await write(model, {});
  expect(plain.meanDepth).toBe(4);
  expect(early.meanDepth).toBeLessThan(3.5);
  expect(plain.text).toMatch(/^(sat|ran|hid|lay|dug|fed)/);
  // Agreement: is each emitted token what the full model says on the same prefix?
  const prompt = model.tokenizer.encode("the cat ");
  const full = await argmax(
    Tensor.from(device, await model.logits([...prompt, ...early.ids]), [prompt.length + early.ids.length, 257]),
  );
  const same = early.ids.filter((id, i) => id === full[prompt.length - 1 + i]).length;
  expect(same / early.ids.length).toBeGreaterThan(0.8);
  await device.dispose();
});
