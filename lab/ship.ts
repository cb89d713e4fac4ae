/**
 * From a pretrained folder to what the package ships: `npm run ship -- --model models/sotu-12 --exits 3,6`
 * Heads are trained on the training speeches; certificates for several levels come from segments of the calibration
 * speeches on which nothing was chosen (not where exits go, not how heads are taught or stored); what the policies do
 * is then measured on the test speeches. Written beside the model: heads/, certificates/ (one per level, each holding
 * its policy), shipped.json (numbers), README.md (the model card), and documents.json: the segments that heads are
 * trained, calibrated and tested on by `early-exits demo`, since the corpus itself is a development dependency and
 * absent from an installed package.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import {
  attachHeads,
  type Certificate,
  exactFill,
  type HeadKind,
  libraryVersion,
  measureUnitTimes,
  trainHeads,
  verifyCertificate,
} from "early-exits";
import { createRng } from "early-exits/tensor";
import {
  calibrateRecords,
  type CalibrationRecords,
  playPolicy,
  type PolicyOutcome,
  recordDocuments,
} from "early-exits/calibrate";
import { createDevice, readModel, writeFileAtomic, writeHeads } from "early-exits/node";
import { machine } from "./report/index.js";
import { embeddedHeads, type PretrainReport } from "../src/cli/index.js";
import { CHOICE_SEGMENTS, loadSotu, type Split, splitCorpus } from "./ship/index.js";
import { sampleSegments, segmentsOf, SOURCE, SPLIT_SEED } from "./pretrain.js";

const LEVELS = [0.99, 0.95, 0.9, 0.8] as const;
/**
 * Before the study existed, placements were tried on the first of the shuffled calibration segments: they certify
 * nothing either.
 */
const TRIED_ON = 1000;
/** Of the certified segments, those that candidate thresholds come from; the others test them. */
const GRID_SHARE = 0.25;
/**
 * Segments in documents.json. Heads are trained on text of the training speeches; the others neither model nor heads
 * have seen.
 */
const COUNTS = { train: 400, calibration: 300, test: 100 } as const;

interface Level {
  readonly agreement: number;
  readonly certificate: Certificate;
  readonly test: PolicyOutcome;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "models/sotu-12" },
      exits: { type: "string", default: "3,6" },
      kind: { type: "string", default: "dense" },
      steps: { type: "string", default: "1500" },
      documents: { type: "string", default: "1000" },
    },
  });
  const folder = values.model;
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const speeches = splitCorpus(loadSotu().documents, SPLIT_SEED);
  await writeDocuments(join(folder, "documents.json"), speeches);
  const rng = createRng(SPLIT_SEED);
  const [train, shuffled, test] = [speeches.train, speeches.calibration, speeches.test].map((part) =>
    rng.shuffle(part.flatMap(segmentsOf).map(({ text }) => text)),
  ) as [string[], string[], string[]];
  const chosenOn = new Set(sampleSegments(speeches.calibration, CHOICE_SEGMENTS, SPLIT_SEED).map(({ text }) => text));
  const calibration = shuffled.slice(TRIED_ON).filter((text) => !chosenOn.has(text));
  const documents = Number(values.documents);

  const heads = attachHeads(model, {
    exits: values.exits.split(",").map(Number),
    kind: values.kind as HeadKind,
    dtype: embeddedHeads.dtype,
    seed: 1,
  });
  const training = await trainHeads(heads, train, {
    steps: Number(values.steps),
    batchSize: 8,
    sequenceLength: 256,
    learningRate: 2e-3,
    seed: 1,
    loss: embeddedHeads.loss,
    onStep: ({ step, steps, loss, agreement }) => {
      if (step % 50 === 0) {
        console.error(
          `heads ${step}/${steps} loss ${loss.toFixed(3)} ` +
            `agreement ${agreement.map((share) => share.toFixed(3)).join(" ")}`,
        );
      }
    },
  });
  await writeHeads(join(folder, "heads"), heads);

  const fill = exactFill(model.config);
  // a head in int8 takes less of a block's time than of its multiply-adds
  const costs = await measureUnitTimes(heads, { fill });
  const record = (name: string, texts: readonly string[]): Promise<CalibrationRecords> =>
    recordDocuments(heads, texts.slice(0, documents), {
      onDocument: ({ document, documents: all }) => {
        if (document % 100 === 0) console.error(`${name} ${document}/${all}`);
      },
    });
  const calibrated = await record("calibration", calibration);
  const tested = await record("test", test);
  const levels: Level[] = [];
  for (const agreement of LEVELS) {
    const { certificate } = await calibrateRecords(calibrated, {
      agreement,
      delta: 0.05,
      fill,
      seed: 1,
      costs,
      gridShare: GRID_SHARE,
    });
    const { valid, reasons } = await verifyCertificate(certificate, { records: calibrated, heads });
    if (!valid) throw new Error(`certificate at ${agreement}: ${reasons.join("; ")}`);
    await writeFileAtomic(
      join(folder, "certificates", `${Math.round(100 * agreement)}.json`),
      `${JSON.stringify(certificate)}\n`,
    );
    levels.push({ agreement, certificate, test: playPolicy(tested, certificate.policy) });
    console.error(
      `${agreement}: depth ${levels.at(-1)!.test.meanDepth.toFixed(2)}, agreement on test ` +
        `documents ${levels.at(-1)!.test.documentAgreement.toFixed(4)}`,
    );
  }
  const shipped = {
    format: "early-exits/shipped",
    version: 1,
    depths: heads.depths,
    kind: values.kind,
    ...embeddedHeads,
    headSteps: Number(values.steps),
    headTraining: training,
    calibrationDocuments: calibrated.documents.length,
    testDocuments: tested.documents.length,
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
  await writeFileAtomic(join(folder, "shipped.json"), `${JSON.stringify(shipped, undefined, 2)}\n`);
  await writeFileAtomic(
    join(folder, "README.md"),
    card(
      basename(folder),
      JSON.parse(await readFile(join(folder, "training.json"), "utf8")) as PretrainReport,
      heads.depths,
      levels,
      calibrated.documents.length,
    ),
  );
  heads.dispose();
  model.dispose();
  await device.dispose();
}

async function writeDocuments(path: string, speeches: Split): Promise<void> {
  const parts = (["train", "calibration", "test"] as const).map((name) => {
    // One document a line: small differences when it is made anew.
    const lines = sampleSegments(speeches[name], COUNTS[name], SPLIT_SEED).map((segment) => JSON.stringify(segment));
    return `${JSON.stringify(name)}: [\n${lines.join(",\n")}\n]`;
  });
  await writeFileAtomic(
    path,
    `{\n"format": "early-exits/documents",\n"version": ` +
      `1,\n"source": ${JSON.stringify(SOURCE)},\n${parts.join(",\n")}\n}\n`,
  );
}

/** The model card. */
function card(
  name: string,
  { options, parameters, tokensSeen, trainingTokens, loss, seconds, device, date, data }: PretrainReport,
  depths: readonly number[],
  levels: readonly Level[],
  documents: number,
): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const shared =
    options.kvShared === 0
      ? ""
      : ` The last ${options.kvShared} blocks attend to the keys and values of ` +
        `block ${options.layers - options.kvShared} (\`num_kv_shared_layers\`, which other libraries' llama does ` +
        "not read).";
  return `# ${name}

A small language model of presidential speeches, made by early-exits to show early exits; for nothing else. ${options.layers} blocks, hidden size ${options.hidden}, ${options.heads} heads (${options.kvHeads} of keys and values), ${options.vocab} tokens, context ${options.context}, ${(parameters / 1e6).toFixed(2)} M parameters, bfloat16.${shared}

* **Data:** ${String(data["source"])}, split by speech: ${JSON.stringify(data["speeches"])}. Tokenizer: byte-level BPE trained on the same training speeches by this repository.
* **Recipe:** \`${options.recipe}\` (see \`src/model/pretrain/recipes.ts\`), ${options.steps} steps of ${options.batch} x ${options.sequence} tokens, ${(tokensSeen / trainingTokens).toFixed(1)} epochs, AdamW, peak learning rate ${options.lr}, seed ${options.seed}; ${(seconds / 60).toFixed(0)} minutes on one shared core, device ${device}, ${date.slice(0, 10)}.
* **Why this recipe:** of the backbones that \`npm run study\` compares, trained alike for two epochs (\`bench/reports/study.md\`), it lets certified exits save most time, within 1 % of plain training's validation loss.
* **Loss,** nats per token, of the first 64 windows of 256 tokens each: ${loss.train.toFixed(3)} on training speeches, ${loss.validation.toFixed(3)} on calibration speeches${loss.test === undefined ? "" : `, ${loss.test.toFixed(3)} on test speeches`}. The curve is in \`training-log.jsonl\`.
* **Heads** after blocks ${depths.join(", ")} in \`heads/\`, trained on the training speeches to say what the model says (KL at temperature ${embeddedHeads.loss.temperature}); their matrices are used in ${embeddedHeads.dtype}.
* **Certificates** in \`certificates/\`: overall agreement per document with probability 95 %, from ${documents} segments of the calibration speeches, none of which any choice was made on: where the heads sit, and how they are taught and stored, was chosen on other segments of these speeches. Measured afterwards, on test speeches; these played no part in any choice but one: the likelihoods of heads taught otherwise, looked at there, showed that teaching to be at fault.

| certified agreement | score | mean depth of ${options.layers} | agreement, mean over documents | leave early |
| ---: | --- | ---: | ---: | ---: |
${levels
  .map(
    ({ agreement, certificate, test }) =>
      `| ${percent(agreement)} | ${certificate.policy.score} | ${test.meanDepth.toFixed(2)} ` +
      `| ${percent(test.documentAgreement)} | ${percent(test.coverage)} |`,
  )
  .join("\n")}

Made by \`npm run pretrain\` and \`npm run ship\`. The text is in the public domain (CC0); the model is under the repository's licence. It writes in the manner of its sources, knows nothing, repeats their opinions and errors, and must not be asked for facts.
`;
}

await main();
