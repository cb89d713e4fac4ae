/**
 * Files beside a pretrained model, written into its folder: documents.json, heads/, certificates/ (one per level,
 * each with its policy), shipped.json (numbers), README.md (the model card). A file is complete or absent, also after a
 * kill; certificates name their heads, so those of another run are refused.
 */
import { join } from "node:path";
import {
  attachHeads,
  type Device,
  exactFill,
  type ExitHeads,
  libraryVersion,
  type Model,
  trainHeads,
} from "early-exits";
import type { TrainSummary } from "../../src/exits/train/train-heads.js";
import { type CalibrationRecords, recordDocuments } from "early-exits/calibrate";
import { createDevice, readModel, writeFileAtomic, writeHeads } from "early-exits/node";
import { settleFolder } from "../../src/node/folder-transaction.js";
import { embeddedHeads } from "../../apps/cli/demo/demo.js";
import { machine } from "../report/machine.js";
import { shippedLevel, writeShipped } from "./card.js";
import { certifyLevels, writeCertificates } from "./certify-levels.js";
import { SOURCE, type Split } from "./corpus.js";
import { sampleSegments, SPLIT_SEED } from "./segments.js";
import type { Segment, ShippingTexts } from "./texts.js";

/** Segments in documents.json. Neither the model nor its heads were trained on those for calibration and test. */
const COUNTS = { train: 400, calibration: 300, test: 100 } as const;

export interface ShipSettings {
  readonly folder: string;
  readonly exits: readonly number[];
  readonly kind: "dense" | "linear";
  readonly steps: number;
  /** Segments, at most, to calibrate and to test on. */
  readonly documents: number;
  /** Hears of the progress. */
  readonly note: (text: string) => void;
}

/** The speeches for documents.json, and the segments cut from them. */
export interface ShipData {
  readonly speeches: Split;
  readonly texts: ShippingTexts;
}

/** Writes all that ships beside a pretrained model. Each file, and the folder of heads, is whole or absent. */
export async function shipFolder(settings: ShipSettings, data: ShipData): Promise<void> {
  const device = await createDevice("wasm");
  try {
    await shipOn(device, settings, data);
  } finally {
    await device.dispose();
  }
}

async function shipOn(device: Device, settings: ShipSettings, { speeches, texts }: ShipData): Promise<void> {
  const { folder, note } = settings;
  const model = await readModel(folder, { device });
  await settleFolder(folder);
  await settleFolder(join(folder, "certificates"));
  await writeDocuments(join(folder, "documents.json"), speeches);

  const { heads, training } = await trainedHeads(model, texts.train, settings);
  await writeHeads(join(folder, "heads"), heads);

  const calibration = await record(heads, texts.calibration.slice(0, settings.documents), note, "calibration");
  const test = await record(heads, texts.test.slice(0, settings.documents), note, "test");
  const levels = await certifyLevels(heads, calibration, test, { fill: exactFill(model.config) });
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
    levels: levels.map(shippedLevel),
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    libraryVersion,
  };
  await writeShipped(folder, shipped, levels[0]!.certificate.documents.length);
}

async function trainedHeads(
  model: Model,
  texts: readonly string[],
  { exits, kind, steps, note }: ShipSettings,
): Promise<{ readonly heads: ExitHeads; readonly training: TrainSummary }> {
  const heads = attachHeads(model, { exits, kind, dtype: embeddedHeads.dtype });
  const training = await trainHeads(heads, texts, {
    steps,
    batchSize: 8,
    sequenceLength: Math.min(256, model.config.maxPositionEmbeddings),
    learningRate: 2e-3,
    seed: 1,
    loss: embeddedHeads.loss,
    onStep: ({ step, steps: all, loss, agreement }) => {
      if (step % 50 !== 0) return;
      const agreements = agreement.map((share) => share.toFixed(3)).join(" ");
      note(`heads ${step}/${all} loss ${loss.toFixed(3)} agreement ${agreements}`);
    },
  });
  return { heads, training };
}

function record(
  heads: ExitHeads,
  texts: readonly Segment[],
  note: ShipSettings["note"],
  name: string,
): Promise<CalibrationRecords> {
  return recordDocuments(heads, texts, {
    onDocument: ({ document, documents }) => {
      if (document % 100 === 0) note(`${name} ${document}/${documents}`);
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
