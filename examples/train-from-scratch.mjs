/**
 * A small llama from text alone: train a tokenizer, train a model, and write a Hugging Face folder that other libraries
 * can load.
 *   node examples/train-from-scratch.mjs corpus.txt out-folder [steps]
 */
import { createModel, generate, pretrain, splitDocuments } from "early-exits";
import {
  huggingFaceTokenizer,
  llamaConfigJson,
  serializeModel,
  tokenStream,
  trainByteLevelBpe,
} from "early-exits/model";
import { createDevice, readModel, readText, writeFileAtomic } from "early-exits/node";

const [corpus, out, steps = "300"] = process.argv.slice(2);
if (out === undefined) throw new Error("usage: train-from-scratch.mjs CORPUS OUT_FOLDER [STEPS]");

const { train } = splitDocuments(await readText(corpus), { train: 0.9, seed: 1 });
const tokenizerJson = trainByteLevelBpe(train, { vocabSize: 512 });
const tokenizer = await huggingFaceTokenizer(tokenizerJson);
const end = tokenizer.eosTokenId;
const config = llamaConfigJson({
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 64,
  numLayers: 4,
  numHeads: 4,
  numKvHeads: 2,
  intermediateSize: 160,
  maxPositionEmbeddings: 128,
  tieWordEmbeddings: true,
  bosTokenId: end,
  eosTokenIds: [end],
});

const device = await createDevice("auto");
const fresh = createModel(config, { device, seed: 1, tokenizer });
await pretrain(fresh, tokenStream(fresh, train), {
  steps: Number(steps),
  batchSize: 8,
  sequenceLength: 64,
  seed: 1,
  onStep: ({ step, loss, tokensPerSecond }) => {
    if (step % 50 === 0) {
      console.log(`step ${step}, loss ${loss.toFixed(3)} nats, ${tokensPerSecond.toFixed(0)} tokens/s`);
    }
  },
});

await writeFileAtomic(`${out}/config.json`, JSON.stringify(config, undefined, 2));
await writeFileAtomic(`${out}/model.safetensors`, await serializeModel(fresh));
await writeFileAtomic(`${out}/tokenizer.json`, JSON.stringify(tokenizerJson));

const run = generate(await readModel(out, { device }), "The", { maxNewTokens: 40, temperature: 0.8, seed: 1 });
for await (const { text } of run) process.stdout.write(text);
process.stdout.write("\n");
await device.dispose();
