/**
 * The recipe of the embedded model, as one command:
 *   npm run pretrain -- [--steps 2560] [--recipe both] [--out models/sotu-12] [--resume] …
 * Without options it makes the model that ships; other options make the models of the study (lab/study.ts). The corpus
 * is State of the Union addresses (lab/ship/corpus.ts), split by speech: the model and its tokenizer see the training
 * speeches only, validation losses come from the calibration speeches, and the test speeches are used once, at the end.
 * Documents are segments of speeches (lab/ship/segments.ts).
 */
import { parseArgs } from "node:util";
import { exitCodeOf, type Io, processIo, UsageError } from "../src/cli/index.js";
import { pretrainDefaults, pretrainFolder, type PretrainRecipe } from "../src/cli/index.js";
import { loadSotu, segmentTexts, SOURCE, SPLIT_SEED, splitCorpus } from "./ship/index.js";

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
      out: { type: "string", default: "models/sotu-12" },
      resume: { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      device: { type: "string" },
      json: { type: "boolean", default: false },
      ...Object.fromEntries(names.map((name) => [flagOf(name), { type: "string" as const }])),
    },
  });
  const { out, resume, force, json, device } = values;
  const recipe = recipeOf(values);

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
  await pretrainFolder({ train, validation, test, description }, { ...recipe, out, resume, force, json, device }, io);
}

const names = Object.keys(pretrainDefaults) as (keyof PretrainRecipe)[];

/** kvHeads -> kv-heads */
function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The recipe that ships, with the options given. */
function recipeOf(given: Readonly<Record<string, string | boolean | undefined>>): Partial<PretrainRecipe> {
  const recipe: Record<string, unknown> = { ...EMBEDDED };
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
