/**
 * Share of the model's own tokens that a preview of the unembedding finds, and its time, by rank and candidates, in
 * int8 with coarse logits in four bits:
 *   npm run bench:previews -- [--model FILE] [--text FILE] [--documents 120] [--listed 0,16384]
 * Without options: SmolLM2-135M-Instruct in Q4_1 and its chat answers (../shared/fixtures). Previews are fitted to
 * three quarters of the answers and tried on the others; --listed ranks so many of the tokens that are most frequent
 * in those that fit, 0 all. Prints a table and writes no report.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { attachHeads, measureUnitTimes } from "early-exits";
import {
  type BatchSource,
  type CacheStore,
  cachedBatches,
  fitPreviews,
  frequentTokens,
  measureExits,
  recordHidden,
  type PreviewShape,
} from "early-exits/exits";
import type { Document } from "early-exits/model";
import { createDevice, readDocuments, readModel } from "early-exits/node";

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../shared/fixtures/models/smollm2-135m-instruct/${name}`, import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: "string", default: fixture("SmolLM2-135M-Instruct.Q4_1.gguf") },
    text: { type: "string", default: fixture("chat-answers.jsonl") },
    documents: { type: "string", default: "120" },
    listed: { type: "string", default: "0" },
  },
});
const RANKS = [192, 352];

const model = await readModel(values.model, { device: await createDevice("wasm"), dtype: "int8" });
const documents = (await readDocuments(values.text, model)).slice(0, Number(values.documents));
const fitted = Math.ceil(0.75 * documents.length);
const depth = model.config.numLayers - 1; // recordings need a depth; previews read the final states
const train = await recorded(documents.slice(0, fitted));
const test = await recorded(documents.slice(fitted));

console.log("listed\tfirst\trank\tchosen\tfinds\tms\tunembedding, ms");
for (const listed of values.listed.split(",").map(Number)) {
  const tokens =
    listed > 0
      ? await frequentTokens(model, documents.slice(0, fitted), listed, { countText: true, positions: 4096 })
      : undefined;
  const listing = tokens && { tokens };
  for (const rank of RANKS) {
    await measure({ rank, candidates: 64, first: undefined, ...listing });
    await measure({ rank, candidates: 128, first: { rank: 64, candidates: 4096 }, ...listing });
  }
}
model.dispose();

async function measure(preview: PreviewShape): Promise<void> {
  const heads = attachHeads(model, { exits: [], unembeddingPreview: preview });
  await fitPreviews(heads, train);
  const [quality] = await measureExits(heads, test);
  const times = await measureUnitTimes(heads, { context: 160, rows: [1], time: 1500 });
  const cells = [
    preview.tokens?.length ?? "all",
    heads.heads[0]!.shape.preview!.first?.rank ?? "all",
    preview.rank,
    preview.candidates,
    `${(100 * quality!.agreement).toFixed(1)} %`,
    times.heads[0]!.toFixed(2),
    times.finalHead[0]!.cost.toFixed(2),
  ];
  console.log(cells.join("\t"));
  heads.dispose();
}

/** The states of some answers, recorded once and kept in memory. */
async function recorded(answers: readonly Document[]): Promise<BatchSource> {
  const files = new Map<string, Uint8Array>();
  const store: CacheStore = {
    read: (name) => Promise.resolve(files.get(name)),
    write: (name, bytes) => Promise.resolve(void files.set(name, bytes)),
  };
  await recordHidden(model, answers, [depth], store);
  return cachedBatches(model, [depth], store);
}
