/** `early-exits pretrain`: trains a small model on a text file; the recipe is in training/pretrain-folder.ts. */
import { splitDocuments } from "../../index.js";
import { cutDocuments, recipeNames } from "../../model/index.js";
import { readText } from "../../node/index.js";
import type { CommandDefinition } from "../command.js";
import { type Io, note } from "../io.js";
import { commandLine, nextLines } from "../lines/index.js";
import { modelDefaults } from "../open-model.js";
import { deviceOption, integer, number } from "../options.js";
import { pretrainDefaults, pretrainFolder, type PretrainReport, type PretrainSettings } from "../training/index.js";

type Settings = PretrainSettings & { readonly text: string };

export const pretrainCommand: CommandDefinition<Settings> = {
  name: "pretrain",
  description: "Train a small llama-style model from scratch and write a Hugging Face folder",
  options: [
    {
      flags: "--text <file>",
      description: 'training text: .txt (blank lines separate documents) or .jsonl with a "text" field',
      required: true,
    },
    { flags: "--out <folder>", description: "where to write the model", required: true },
    {
      flags: "--tokenizer <file>",
      description: "tokenizer.json to use; without it, a byte-level BPE is trained on the text",
    },
    { flags: "--layers <n>", description: "blocks", parse: integer(1) },
    { flags: "--hidden <n>", description: "hidden size", parse: integer(1) },
    { flags: "--heads <n>", description: "attention heads", parse: integer(1) },
    { flags: "--kv-heads <n>", description: "key/value heads", parse: integer(1) },
    {
      flags: "--kv-shared <n>",
      description: "let this many of the last blocks attend to the keys and values of the block below them",
      parse: integer(0),
    },
    { flags: "--intermediate <n>", description: "inner size of the MLP", parse: integer(1) },
    { flags: "--context <n>", description: "context limit", parse: integer(2) },
    { flags: "--vocab <n>", description: "entries of the tokenizer", parse: integer(257) },
    { flags: "--steps <n>", description: "training steps", parse: integer(1) },
    { flags: "--batch <n>", description: "windows per step", parse: integer(1) },
    {
      flags: "--sequence <n>",
      description: "tokens per window",
      parse: integer(1),
      defaultNote: "fewer if the context is shorter",
    },
    { flags: "--lr <rate>", description: "peak learning rate", parse: number(0, 1) },
    {
      flags: "--recipe <name>",
      description: "what is added to plain training so that early exits pay",
      choices: recipeNames,
    },
    { flags: "--validate-every <n>", description: "steps between validation losses", parse: integer(1) },
    { flags: "--seed <n>", description: "seed of split, initial weights and batches", parse: integer(0) },
    { flags: "--force", description: "overwrite a finished model in OUT" },
    { flags: "--resume", description: "continue from OUT/checkpoint, bit for bit" },
    deviceOption,
  ],
  defaults: { device: modelDefaults.device, ...pretrainDefaults },
  examples: ["pretrain --text book.txt --out my-model --steps 500", "pretrain --text book.txt --out my-model --resume"],
  run,
};

/** The share of the text that is trained on; the rest is held out. */
const TRAIN_SHARE = 0.95;

async function run(settings: Settings, io: Io): Promise<PretrainReport> {
  const text = await readText(settings.text);
  const { train, held } =
    cutDocuments(text).length > 1
      ? splitDocuments(text, { train: TRAIN_SHARE, seed: settings.seed ?? pretrainDefaults.seed })
      : splitCharacters(text);
  const documents = { train: train.length, validation: held.length };
  const description = { text: settings.text, documents };
  const report = await pretrainFolder({ train, validation: held, description }, settings, io);
  const { text: path, out, json } = settings;
  const steps = [commandLine("train", [out], { text: path, out: "heads" }), commandLine("plan", [out])];
  if (json !== true) for (const line of nextLines(...steps)) note(io, line);
  return report;
}

/** Splits a text that is one document: its end is held out. */
function splitCharacters(text: string): { train: string[]; held: string[] } {
  const cut = Math.floor(TRAIN_SHARE * text.length);
  return { train: [text.slice(0, cut)], held: [text.slice(cut)] };
}
