/** The models of the study, with heads and a pool of documents that the heads were not trained on. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { attachHeads, type ExitHeads, splitDocuments, trainHeads } from "early-exits";
import { createDevice, readHeads, readJson, readModel, readText } from "early-exits/node";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Corpus {
  readonly heads: ExitHeads;
  /** Source of the heads. */
  readonly note: string;
  readonly pool: readonly string[];
}

interface EmbeddedDocuments {
  readonly calibration: readonly { readonly text: string }[];
  readonly test: readonly { readonly text: string }[];
}

/** Opens a model by name. "stories260K" and its text lie in ../shared/fixtures; its heads are trained for `steps`. */
export async function openCorpus(name: string, steps: number): Promise<Corpus> {
  return name === "stories260K" ? trainStories(steps) : openEmbedded(name);
}

async function trainStories(steps: number): Promise<Corpus> {
  const fixtures = join(root, "..", "shared", "fixtures");
  const text = await readText(join(fixtures, "text", "tinystories_clean.jsonl"));
  const { train, held } = splitDocuments(text, { train: 0.5, seed: 1 });
  const device = await createDevice("auto");
  const model = await readModel(join(fixtures, "models", "stories260K"), { device });
  const heads = attachHeads(model, { exits: 3, kind: "linear" });
  await trainHeads(heads, train, { steps, batchSize: 4, learningRate: 2e-3, seed: 1, sequenceLength: 128 });
  return { heads, note: `tied heads trained for ${steps} steps`, pool: held };
}

async function openEmbedded(name: string): Promise<Corpus> {
  const folder = join(root, "models", name);
  const { calibration, test } = (await readJson(join(folder, "documents.json"))) as EmbeddedDocuments;
  const model = await readModel(folder, { device: await createDevice("auto") });
  return {
    heads: await readHeads(join(folder, "heads"), model),
    note: "the heads that come with it",
    pool: [...calibration, ...test].map(({ text }) => text),
  };
}
