/**
 * Trains a small model from scratch (ship/pretrain-folder.ts):
 *   npm run pretrain -- [--steps 2560] [--recipe both] [--out models/sotu-12] [--resume] [--force] …
 *   npm run pretrain -- --text FILE --out FOLDER [--tokenizer FILE] [--layers 6] [--hidden 96] …
 * Without options it makes the model that ships; other options make those of models/study. Its corpus
 * is State of the Union addresses (lab/ship/corpus.ts), split by speech: the model and its tokenizer see the training
 * speeches only, validation losses come from the calibration speeches, and the test speeches are used once, at the end.
 * Documents are segments of speeches (lab/ship/segments.ts).
 */
import { parseArgs } from "node:util";
import { exitCodeOf } from "../apps/cli/exit-code.js";
import { type Io, UsageError } from "../apps/cli/io.js";
import { processIo } from "../apps/cli/process-io.js";
import { loadSotu, SOURCE, splitCorpus } from "./ship/corpus.js";
import {
  pretrainDefaults,
  pretrainFolder,
  type PretrainRecipe,
  pretrainText,
  type PretrainText,
} from "./ship/pretrain-folder.js";
import { segmentTexts, SPLIT_SEED } from "./ship/segments.js";

/** The options of the model that ships. */
const EMBEDDED = {
  layers: 12,
  hidden: 128,
  heads: 4,
  kvHeads: 2,
  kvShared: 8,
  intermediate: 352,
  recipe: "both",
  steps: 2560,
} as const satisfies Partial<PretrainRecipe>;

async function main(io: Io): Promise<void> {
  const { values } = parseArgs({
    options: {
      text: { type: "string" },
      tokenizer: { type: "string" },
      out: { type: "string", default: "models/sotu-12" },
      resume: { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      device: { type: "string" },
      json: { type: "boolean", default: false },
      ...Object.fromEntries(names.map((name) => [flagOf(name), { type: "string" as const }])),
    },
  });
  const { text, tokenizer, out, resume, force, json, device } = values;
  const recipe = recipeOf(values, text === undefined ? EMBEDDED : {});
  const settings = { ...recipe, tokenizer, out, resume, force, json, device };
  if (text === undefined) await pretrainFolder(sotu(), settings, io);
  else await pretrainFolder(await pretrainText(text, recipe.seed ?? pretrainDefaults.seed), settings, io);
}

/** The corpus of the embedded model. */
function sotu(): PretrainText {
  const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
  const train = segmentTexts(speeches.train);
  const validation = segmentTexts(speeches.calibration);
  const test = segmentTexts(speeches.test);
  const description = {
    source: SOURCE,
    splitSeed: SPLIT_SEED,
    speeches: {
      train: speeches.train.length,
      calibration: speeches.calibration.length,
      test: speeches.test.length,
    },
    segments: { train: train.length, calibration: validation.length, test: test.length },
  };
  return { train, validation, test, description };
}

const names = Object.keys(pretrainDefaults) as (keyof PretrainRecipe)[];

/** kvHeads -> kv-heads */
function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A recipe with the options given. */
function recipeOf(
  given: Readonly<Record<string, string | boolean | undefined>>,
  base: Partial<PretrainRecipe>,
): Partial<PretrainRecipe> {
  const recipe: Record<string, unknown> = { ...base };
  for (const name of names) {
    const value = given[flagOf(name)];
    if (value === undefined) continue;
    const numeric = typeof pretrainDefaults[name] === "number";
    if (numeric && !Number.isFinite(Number(value))) {
      throw new UsageError(`pretrain: --${flagOf(name)} must be a number, found "${value}"`);
    }
    recipe[name] = numeric ? Number(value) : value;
  }
  return recipe;
}

const io = processIo();
process.exitCode = await exitCodeOf(io, () => main(io), { debug: process.env["DEBUG"] !== undefined });
