/** Numbers about a model that ships, in its folder: shipped.json, and the model card, README.md. */
import { basename, join } from "node:path";
import type { Certificate } from "early-exits";
import type { PolicyOutcome } from "early-exits/calibrate";
import { describeSampling, type SamplingOptions } from "early-exits/model";
import { readJson, writeFileAtomic } from "early-exits/node";
import { embeddedHeads } from "../../apps/cli/demo/demo.js";
import type { PretrainReport } from "./pretrain-folder.js";
import type { machine } from "../report/machine.js";
import { percent } from "../report/format.js";
import { prose } from "../report/prose.js";

/** A certified level, and what its policy does on test segments. */
export interface ShippedLevel {
  readonly agreement: number;
  readonly certificate: Pick<Certificate, "policy" | "documents">;
  readonly test: PolicyOutcome;
}

/** A way of writing sampled text. */
export interface SampledRow {
  readonly dtype: "float32" | "int8";
  /** undefined without exits. */
  readonly agreement: number | undefined;
  readonly test: PolicyOutcome;
  /** Of the speed of the reference, in processor time: quartiles over prompts. */
  readonly ratio: readonly [number, number, number];
}

/** `sampled` in shipped.json. */
interface SampledFacts {
  readonly sampling: SamplingOptions;
  readonly prompts: number;
  readonly tokens: number;
  readonly rows: readonly SampledRow[];
  readonly machine: ReturnType<typeof machine>;
}

/** shipped.json, as far as the card needs it. */
export interface ShippedFacts {
  /** Blocks after which the heads sit. */
  readonly depths: readonly number[];
  readonly levels: readonly {
    readonly agreement: number;
    readonly score: string;
    readonly test: PolicyOutcome;
  }[];
  readonly sampled?: SampledFacts;
}

/** A level in shipped.json. */
export function shippedLevel({ agreement, certificate: { policy }, test }: ShippedLevel) {
  return { agreement, score: policy.score, thresholds: policy.exits.map(({ threshold }) => threshold), test };
}

/** Writes both files. `documents` are the calibration segments behind the certificates. */
export async function writeShipped(folder: string, shipped: ShippedFacts, documents: number): Promise<void> {
  const training = (await readJson(join(folder, "training.json"))) as PretrainReport;
  await writeFileAtomic(join(folder, "shipped.json"), `${JSON.stringify(shipped, undefined, 2)}\n`);
  await writeFileAtomic(join(folder, "README.md"), modelCard(basename(folder), training, shipped, documents));
}

function modelCard(
  name: string,
  training: PretrainReport,
  { depths, levels, sampled }: ShippedFacts,
  documents: number,
): string {
  const { options } = training;
  return [
    `# ${name}`,
    prose`${summary(training)}${options.kvShared === 0 ? "" : ` ${sharing(training)}`}`,
    [
      dataLine(training),
      documentsLine,
      recipeLine(training),
      reasonLine,
      lossLine(training),
      headsLine(depths),
      certificatesLine(documents),
    ]
      .map((line) => `* ${line}`)
      .join("\n"),
    levelTable(levels, options.layers),
    ...(sampled === undefined ? [] : [sampledText(sampled), sampledTable(sampled, options.layers)]),
    `${origin}\n`,
  ].join("\n\n");
}

const summary = ({ options, parameters }: PretrainReport): string => prose`
  A small language model of presidential speeches, made by early-exits to demonstrate early exits and for no other use.
  ${options.layers} blocks, hidden size ${options.hidden}, ${options.heads} heads (${options.kvHeads} of keys and
  values), ${options.vocab} tokens, context ${options.context}, ${(parameters / 1e6).toFixed(2)} M parameters,
  bfloat16.`;

const sharing = ({ options }: PretrainReport): string => prose`
  The last ${options.kvShared} blocks attend to the keys and values of block ${options.layers - options.kvShared}
  (\`num_kv_shared_layers\`, which the llama of other libraries does not read).`;

const dataLine = ({ data }: PretrainReport): string => prose`
  **Data:** ${String(data["source"])}, split by speech: ${JSON.stringify(data["speeches"])}. Tokenizer: byte-level BPE,
  trained by this repository on the same training speeches.`;

const documentsLine = prose`
  **\`documents.json\`:** passages \`{ title, text }\` of these speeches, 400 in \`train\`, 300 in \`calibration\`, 100
  in \`test\`. Those in \`calibration\` helped to choose how heads are taught.`;

const recipeLine = ({ options, tokensSeen, trainingTokens, seconds, device, date }: PretrainReport): string => prose`
  **Recipe:** \`${options.recipe}\` (see \`src/model/pretrain/recipes.ts\`), ${options.steps} steps of
  ${options.batch} x ${options.sequence} tokens, ${(tokensSeen / trainingTokens).toFixed(1)} epochs, AdamW, peak
  learning rate ${options.lr}, seed ${options.seed}; ${(seconds / 60).toFixed(0)} minutes on one shared core, device
  ${device}, ${date.slice(0, 10)}.`;

const reasonLine = prose`
  **Why this recipe:** among the backbones that \`bench/reports/study.md\` compares, all trained for two epochs in the
  same way, certified exits save the most time on this one, and its validation loss is within 1 % of plain training's.`;

const lossLine = ({ loss }: PretrainReport): string => prose`
  **Loss** in nats per token over the first 64 windows of 256 tokens each: ${loss.train.toFixed(3)} on training
  speeches, ${loss.validation.toFixed(3)} on calibration
  speeches${loss.test === undefined ? "" : `, ${loss.test.toFixed(3)} on test speeches`}. The curve is in
  \`training-log.jsonl\`.`;

const headsLine = (depths: readonly number[]): string => prose`
  **Heads** after blocks ${depths.join(", ")} in \`heads/\`, trained on the training speeches to reproduce the model's
  own predictions (KL at temperature ${embeddedHeads.loss.temperature}); their matrices are used in
  ${embeddedHeads.dtype}.`;

const certificatesLine = (documents: number): string => prose`
  **Certificates** in \`certificates/\`: overall agreement per document with probability 95 %, from ${documents}
  segments of the calibration speeches. No choice was made on these segments: where the heads sit, and how they are
  taught and stored, was chosen on other segments of the same speeches. Segments of one speech resemble each other, and
  these certificates take them as independent; \`certificates-by-speech/\` does not. The table was measured afterwards,
  on test speeches. They have been looked at: an earlier way of teaching the heads was dropped because of the
  likelihoods that such heads gave there, and every later version was measured on them.`;

const origin = prose`
  Made by \`npm run pretrain\` and \`npm run ship\`. The text is in the public domain (CC0); the model is under the
  repository's licence. It writes in the manner of its sources, knows nothing, repeats their opinions and errors, and
  must not be used as a source of facts.`;

const sampledText = ({ sampling, prompts, tokens, machine }: SampledFacts): string => prose`
  **Sampled text**, by ${describeSampling(sampling)}: certificates from the same segments lie in folders of
  \`certificates/\`, for the model in float32 and, below \`int8/\`, in int8. Agreement is 1 - the mean total variation
  to what the float32 model would draw from, for int8 too: quantisation and exits in one promise. Speed: ${prompts}
  beginnings of test speeches continued by ${tokens} tokens, all ways in turns on one thread; times float32 without
  exits in processor time, median and quartiles over prompts (${machine.cpu}, Node
  ${machine.node}, ${machine.date.slice(0, 10)}, load ${machine.load}).`;

function sampledTable({ rows }: SampledFacts, numLayers: number): string {
  return [
    `| weights | certified | mean depth of ${numLayers} | agreement, mean over documents | times float32 |`,
    "| --- | ---: | ---: | ---: | ---: |",
    ...rows.map(({ dtype, agreement, test, ratio: [low, median, high] }) => {
      const cells = [
        dtype,
        agreement === undefined ? "no exits" : percent(agreement),
        test.meanDepth.toFixed(2),
        percent(test.documentAgreement),
        `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`,
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}

function levelTable(levels: ShippedFacts["levels"], numLayers: number): string {
  return [
    `| certified agreement | score | mean depth of ${numLayers} | agreement, mean over documents | leave early |`,
    "| ---: | --- | ---: | ---: | ---: |",
    ...levels.map(({ agreement, score, test }) => {
      const cells = [
        percent(agreement),
        score,
        test.meanDepth.toFixed(2),
        percent(test.documentAgreement),
        percent(test.coverage),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}
