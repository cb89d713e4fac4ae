/**
 * From a pretrained folder to what the package ships: `npm run ship -- --model models/sotu-12 --exits 3,6`
 * Heads are trained on the training speeches. Certificates for several levels come from segments of the calibration
 * speeches on which nothing was chosen (neither where exits go nor how heads are taught or stored). The policies are
 * then measured on the test speeches. Written next to the model: heads/, certificates/ (one per level, each with its
 * policy), shipped.json (numbers), README.md (the model card), and documents.json: the segments on which
 * `early-exits demo` trains, calibrates and tests heads, because an installed package does not have the corpus, which
 * is a development dependency.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import {
  attachHeads,
  type ExitHeads,
  exactFill,
  type HeadKind,
  libraryVersion,
  type Model,
  trainHeads,
} from "early-exits";
import type { TrainSummary } from "early-exits/exits";
import { type CalibrationRecords, recordDocuments } from "early-exits/calibrate";
import { createDevice, readModel, writeFileAtomic, writeHeads } from "early-exits/node";
import { embeddedHeads, type PretrainReport } from "../src/cli/index.js";
import { machine } from "./report/index.js";
import {
  certifyLevels,
  loadSotu,
  modelCard,
  sampleSegments,
  type Segment,
  shippingTexts,
  SOURCE,
  type Split,
  SPLIT_SEED,
  splitCorpus,
  writeCertificates,
} from "./ship/index.js";

/** Segments in documents.json. Neither the model nor its heads were trained on those for calibration and test. */
const COUNTS = { train: 400, calibration: 300, test: 100 } as const;

interface Settings {
  readonly folder: string;
  readonly exits: readonly number[];
  readonly kind: HeadKind;
  readonly steps: number;
  /** Segments, at most, to calibrate and to test on. */
  readonly documents: number;
}

async function ship(settings: Settings): Promise<void> {
  const { folder } = settings;
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
  await writeDocuments(join(folder, "documents.json"), speeches);

  const texts = shippingTexts(speeches);
  const { heads, training } = await trainedHeads(model, texts.train, settings);
  await writeHeads(join(folder, "heads"), heads);

  const calibration = await record(heads, texts.calibration.slice(0, settings.documents), "calibration");
  const test = await record(heads, texts.test.slice(0, settings.documents), "test");
  const levels = await certifyLevels(heads, calibration, test, exactFill(model.config));
  await writeCertificates(join(folder, "certificates"), levels);

  const shipped = {
    format: "early-exits/shipped",
    version: 1,
    depths: heads.depths,
    kind: settings.kind,
    ...embeddedHeads,
    headSteps: settings.steps,
    headTraining: training,
    calibrationDocuments: calibration.documents.length,
    testDocuments: test.documents.length,
    levels: levels.map(({ agreement, certificate, test: outcome }) => ({
      agreement,
      score: certificate.policy.score,
      thresholds: certificate.policy.exits.map(({ threshold }) => threshold),
      test: outcome,
    })),
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    libraryVersion,
  };
  const card = modelCard({
    name: basename(folder),
    training: JSON.parse(await readFile(join(folder, "training.json"), "utf8")) as PretrainReport,
    depths: heads.depths,
    levels,
    documents: calibration.documents.length,
  });
  await writeFileAtomic(join(folder, "shipped.json"), `${JSON.stringify(shipped, undefined, 2)}\n`);
  await writeFileAtomic(join(folder, "README.md"), card);
  heads.dispose();
  model.dispose();
  await device.dispose();
}

async function trainedHeads(
  model: Model,
  texts: readonly string[],
  { exits, kind, steps }: Settings,
): Promise<{ readonly heads: ExitHeads; readonly training: TrainSummary }> {
  const heads = attachHeads(model, { exits, kind, dtype: embeddedHeads.dtype, seed: 1 });
  const training = await trainHeads(heads, texts, {
    steps,
    batchSize: 8,
    sequenceLength: 256,
    learningRate: 2e-3,
    seed: 1,
    loss: embeddedHeads.loss,
    onStep: ({ step, steps: all, loss, agreement }) => {
      if (step % 50 !== 0) return;
      const agreements = agreement.map((share) => share.toFixed(3)).join(" ");
      console.error(`heads ${step}/${all} loss ${loss.toFixed(3)} agreement ${agreements}`);
    },
  });
  return { heads, training };
}

function record(heads: ExitHeads, texts: readonly Segment[], name: string): Promise<CalibrationRecords> {
  return recordDocuments(heads, texts, {
    onDocument: ({ document, documents }) => {
      if (document % 100 === 0) console.error(`${name} ${document}/${documents}`);
    },
  });
}

async function writeDocuments(path: string, speeches: Split): Promise<void> {
  const parts = (["train", "calibration", "test"] as const).map((name) => {
    // One document a line, so that a new version differs in few lines.
    const lines = sampleSegments(speeches[name], COUNTS[name], SPLIT_SEED).map((segment) => JSON.stringify(segment));
    return `${JSON.stringify(name)}: [\n${lines.join(",\n")}\n]`;
  });
  const entries = [
    '"format": "early-exits/documents"',
    '"version": 1',
    `"source": ${JSON.stringify(SOURCE)}`,
    ...parts,
  ];
  await writeFileAtomic(path, `{\n${entries.join(",\n")}\n}\n`);
}

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/sotu-12" },
    exits: { type: "string", default: "3,6" },
    kind: { type: "string", default: "dense" },
    steps: { type: "string", default: "1500" },
    documents: { type: "string", default: "1000" },
  },
});
await ship({
  folder: values.model,
  exits: values.exits.split(",").map(Number),
  kind: values.kind as HeadKind,
  steps: Number(values.steps),
  documents: Number(values.documents),
});
