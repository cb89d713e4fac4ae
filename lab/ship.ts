/**
 * From a pretrained folder to what the package ships: `npm run ship -- --model models/sotu-12 --exits 3,6`
 * Heads are trained on the training speeches. Certificates for several levels come from segments of the calibration
 * speeches on which nothing was chosen (neither where exits go nor how heads are taught or stored). The policies are
 * then measured on the test speeches. Written next to the model: heads/, certificates/ (one per level, each with its
 * policy), shipped.json (numbers), README.md (the model card), and documents.json: the segments on which
 * `early-exits demo` trains, calibrates and tests heads, because an installed package does not have the corpus, which
 * is a development dependency. Last come certificates for sampled text; with --sampled, only these, of the heads that
 * are there (ship/sampled.ts).
 */
import { parseArgs } from "node:util";
import { loadSotu, splitCorpus } from "./ship/corpus.js";
import { shipFolder } from "./ship/ship-folder.js";
import { shipSampled } from "./ship/sampled.js";
import { shippingTexts } from "./ship/texts.js";
import { SPLIT_SEED } from "./ship/segments.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/sotu-12" },
    exits: { type: "string", default: "3,6" },
    kind: { type: "string", default: "dense" },
    steps: { type: "string", default: "1500" },
    documents: { type: "string", default: "1000" },
    sampled: { type: "boolean", default: false },
  },
});
const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
const settings = {
  folder: values.model,
  exits: values.exits.split(",").map(Number),
  kind: values.kind as "dense" | "linear",
  steps: Number(values.steps),
  documents: Number(values.documents),
  note: (text: string): void => {
    console.error(text);
  },
};
const texts = shippingTexts(speeches);
if (!values.sampled) await shipFolder(settings, { speeches, texts });
await shipSampled(settings, texts);
