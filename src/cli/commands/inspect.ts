/**
 * `early-exits inspect`: shows what a model folder or a GGUF file holds, where heads could go and what they cost.
 * Reads headers, and weights only to --check them.
 */
import { headKinds } from "../../index.js";
import {
  type BudgetOptions,
  type Budgets,
  cacheBytesPerPosition,
  checkWeights,
  type DamagedTensor,
  type ModelConfig,
} from "../../model/index.js";
import { cacheDtypes, coarseBytes } from "../../tensor/index.js";
import { blockCost, headCost, placeExits, type Placement, QUOTED_CONTEXT } from "../../exits/index.js";
import { findModel } from "../open-model.js";
import { describeModel, readTensorSource } from "../../node/index.js";
import type { CommandDefinition } from "../command.js";
import { count, bytes, percent, table } from "../format.js";
import { colorsOf, type CommonOptions, type Io, writeResult } from "../io.js";
import { commandLine, nextLines } from "../lines/index.js";
import { budgetsOption, modelFolder } from "../options.js";

export interface InspectSettings extends CommonOptions {
  readonly dir: string;
  readonly check?: boolean | undefined;
  readonly budgets?: Partial<Budgets> | undefined;
}

export const inspectCommand: CommandDefinition<InspectSettings> = {
  name: "inspect",
  description: "Show architecture, size, tokenizer, possible exits and the cost of a head; reads weights to --check",
  positional: [modelFolder],
  options: [
    { flags: "--check", description: "read all weights, and name tensors that hold NaN or infinity" },
    budgetsOption,
  ],
  defaults: {},
  examples: ["inspect sotu-12", "inspect sotu-12 --check", "inspect org/name --json", "inspect path/to/model.gguf"],
  run,
};

/** Exit counts for which placements are shown. */
const EXIT_COUNTS = [1, 2, 3, 4] as const;

interface Inspection extends Awaited<ReturnType<typeof inspectModel>> {
  /** Present if the weights were checked. */
  readonly damagedTensors?: readonly DamagedTensor[];
}

async function run({ dir, check, budgets, json }: InspectSettings, io: Io): Promise<void> {
  const { path } = await findModel(io, dir);
  const source = check === true ? await readTensorSource(path, { budgets }) : undefined;
  const damaged = source && (await checkWeights(source, { signal: io.signal }));
  const inspection = { ...(await inspectModel(path, { budgets })), ...(damaged && { damagedTensors: damaged }) };
  writeResult(io, { json }, inspection, [
    ...inspectionLines(inspection, colorsOf(io)),
    ...nextLines(`${commandLine("plan", [dir])} (whether exits can pay)`),
  ]);
}

/** The result, as --json prints it. */
async function inspectModel(dir: string, options: BudgetOptions) {
  const { config, parameters, dtypes, weightBytes, tokenizer, unused, missing, misshapen } = await describeModel(
    dir,
    options,
  );
  const context = Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings);
  const block = blockCost(config, context);
  return {
    dir,
    config,
    parameters,
    dtypes,
    memory: {
      weights: weightBytes,
      cachePerToken: Object.fromEntries(cacheDtypes.map((dtype) => [dtype, cacheBytesPerPosition(config, dtype)])),
    },
    unusedTensors: unused,
    missingTensors: missing,
    misshapenTensors: misshapen,
    tokenizer:
      tokenizer === undefined
        ? null
        : {
            vocabSize: tokenizer.vocabSize,
            bosTokenId: tokenizer.bosTokenId ?? null,
            eosTokenId: tokenizer.eosTokenId ?? null,
          },
    cost: {
      context,
      blockMultiplyAdds: block,
      modelMultiplyAdds: block * config.numLayers + headCost(config, "dense"),
      unembedding: unembeddingOf(config),
      heads: headKinds.map((kind) => {
        const multiplyAdds = headCost(config, kind);
        return { kind, multiplyAdds, blocks: multiplyAdds / block };
      }),
    },
    placements: { v1: placementsOf(config, "v1"), v2: placementsOf(config, "v2") },
  };
}

/** What decoding reads of the unembedding per token, in bytes: all of it by dtype, or screened. */
function unembeddingOf({ vocabSize, hiddenSize }: ModelConfig) {
  const weights = vocabSize * hiddenSize;
  return {
    multiplyAdds: weights,
    bytes: { float32: 4 * weights, bfloat16: 2 * weights, int8: weights + 4 * vocabSize },
    screenedBytes: coarseBytes(vocabSize, hiddenSize),
  };
}

/** Depths by the number of exits. The released v1 rule has no place for some numbers (floor(L / (K + 1)) = 0). */
function placementsOf({ numLayers }: ModelConfig, placement: Placement): Record<string, number[]> {
  const placements: Record<string, number[]> = {};
  for (const exits of EXIT_COUNTS) {
    if (exits >= numLayers) continue;
    try {
      placements[exits] = placeExits(numLayers, exits, placement);
    } catch {
      // not listed
    }
  }
  return placements;
}

function inspectionLines(inspection: Inspection, { bold, dim, yellow }: ReturnType<typeof colorsOf>): string[] {
  const { dir, config, parameters, dtypes, missingTensors, misshapenTensors, cost, placements } = inspection;
  const stored = Object.entries(dtypes)
    .map(([dtype, values]) => `${dtype}${values === parameters ? "" : ` ${percent(values / parameters)}`}`)
    .join(", ");
  const dense = cost.heads[0]!;
  return [
    `${bold(dir)}: ${config.modelType}, ${count(parameters)} parameters stored as ${stored}`,
    ...table(architectureRows(inspection), { words: true }),
    ...(missingTensors.length > 0 ? [yellow(`missing tensors: ${listOf(missingTensors)}`)] : []),
    ...misshapenTensors.map(({ name, expected, found }) =>
      yellow(`misshapen: ${name} should be [${expected.join(", ")}], found [${found.join(", ")}]`),
    ),
    ...checkLines(inspection).map(inspection.damagedTensors?.length === 0 ? (line) => line : yellow),
    "",
    `multiply-adds per decoded token at context ${cost.context}: block ${count(cost.blockMultiplyAdds)}, dense head ` +
      `${count(dense.multiplyAdds)} = ${dense.blocks.toFixed(2)} blocks`,
    ...table([
      ["head kind", "multiply-adds", "blocks"],
      ...cost.heads.map(({ kind, multiplyAdds, blocks }) => [kind, count(multiplyAdds), blocks.toFixed(2)]),
    ]),
    dim("An exit that is not taken costs a head; one that is taken saves the blocks above and the final head."),
    "",
    "exits at depths (blocks run):",
    ...table([
      ["exits", "v1", "v2"],
      ...Object.keys({ ...placements.v1, ...placements.v2 }).map((exits) => [
        exits,
        placements.v1[exits]?.join(" ") ?? "-",
        placements.v2[exits]?.join(" ") ?? "-",
      ]),
    ]),
  ];
}

function checkLines({ damagedTensors }: Inspection): string[] {
  if (damagedTensors?.length === 0) return ["weights checked: all are finite numbers"];
  return (damagedTensors ?? []).map(
    ({ name, nan, infinite, first }) =>
      `damaged: ${name} holds ${nan} NaN and ${infinite} infinities, from value ${first} on`,
  );
}

function unembeddingRow({
  unembedding: { multiplyAdds, bytes, screenedBytes },
  blockMultiplyAdds,
}: Inspection["cost"]) {
  const megabytes = (size: number): string => (size / 1e6).toFixed(1);
  return (
    `${(multiplyAdds / blockMultiplyAdds).toFixed(2)} blocks; ${megabytes(bytes.float32)} MB as float32, ` +
    `${megabytes(bytes.bfloat16)} as bfloat16; screened reads ${megabytes(screenedBytes)} MB, kept beside it`
  );
}

function architectureRows({ config, tokenizer, unusedTensors, memory, cost }: Inspection): string[][] {
  const positions = config.rotary === undefined ? "learned" : `rotary (${config.rotary.dim} of ${config.headDim})`;
  const sizes = (byDtype: Readonly<Record<string, number>>): string =>
    Object.entries(byDtype)
      .map(([dtype, size]) => `${bytes(size)} as ${dtype}`)
      .join(", ");
  const perThousand = Object.fromEntries(
    Object.entries(memory.cachePerToken).map(([dtype, size]) => [dtype, 1000 * size]),
  );
  const ends = config.eosTokenIds.length === 0 ? "none" : config.eosTokenIds.join(", ");
  return [
    ["blocks", String(config.numLayers)],
    ["hidden size", String(config.hiddenSize)],
    ["heads", `${config.numHeads} of ${config.headDim}, ${config.numKvHeads} for keys and values`],
    ["MLP", `${config.intermediateSize}, ${config.activation}${config.gatedMlp ? ", gated" : ""}`],
    ["vocabulary", `${config.vocabSize}, embeddings ${config.tieWordEmbeddings ? "tied" : "untied"}`],
    ["unembedding", unembeddingRow(cost)],
    ["context", `${config.maxPositionEmbeddings} tokens, positions ${positions}`],
    ["weights", sizes(memory.weights)],
    ["KV cache", `of 1,000 tokens: ${sizes(perThousand)}`],
    ["residual", config.parallelResidual ? "parallel" : "sequential"],
    ["special ids", `begin ${config.bosTokenId ?? "none"}, end ${ends}`],
    ["tokenizer", tokenizer === null ? "none" : `${tokenizer.vocabSize} entries`],
    ["unused tensors", listOf(unusedTensors)],
  ];
}

function listOf(names: readonly string[]): string {
  if (names.length === 0) return "none";
  return `${names.slice(0, 6).join(", ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}`;
}
