/**
 * Trains the byte-level BPE tokenizer of the embedded model on the training speeches of scripts/corpus.ts and writes tokenizer.json
 * and tokenizer_config.json: `tsx scripts/train-tokenizer.ts --out models/sotu [--vocab 1024] [--seed 1]`. Calibration and test
 * speeches are not looked at, except for the characters per token that it prints.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { huggingFaceTokenizer, trainByteLevelBpe } from "early-exits";
import { loadSotu, splitCorpus } from "./corpus.js";
import type { Document } from "./corpus.js";

const { values } = parseArgs({ options: { out: { type: "string" }, vocab: { type: "string", default: "1024" }, seed: { type: "string", default: "1" } } });
if (values.out === undefined) throw new Error("train-tokenizer: --out names the folder to write to");

const split = splitCorpus(loadSotu().documents, Number(values.seed));
const started = performance.now();
const tokenizerJson = trainByteLevelBpe(split.train.map((document) => document.text), { vocabSize: Number(values.vocab) });
const seconds = (performance.now() - started) / 1000;
const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizerFast",
  bos_token: "<|endoftext|>",
  eos_token: "<|endoftext|>",
  add_bos_token: false,
  add_eos_token: false,
  clean_up_tokenization_spaces: false,
};

mkdirSync(values.out, { recursive: true });
writeFileSync(join(values.out, "tokenizer.json"), `${JSON.stringify(tokenizerJson, null, 1)}\n`);
writeFileSync(join(values.out, "tokenizer_config.json"), `${JSON.stringify(tokenizerConfig, null, 2)}\n`);

const tokenizer = huggingFaceTokenizer(tokenizerJson, tokenizerConfig);
const charactersPerToken = (documents: readonly Document[]): string => {
  const characters = documents.reduce((sum, { text }) => sum + text.length, 0);
  return (characters / documents.reduce((sum, { text }) => sum + tokenizer.encode(text).length, 0)).toFixed(3);
};
console.error(`${tokenizer.vocabSize} tokens in ${seconds.toFixed(1)} s; characters per token: train ${charactersPerToken(split.train)}, test ${charactersPerToken(split.test)}`);
