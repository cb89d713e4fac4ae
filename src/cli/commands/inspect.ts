/**
 * `early-exits inspect`: what a model folder holds, where heads could go and what they cost. Reads headers, not
 * weights.
 */
import { join } from "node:path";
import { headKinds } from "../../index.js";
import { describeCheckpoint } from "../../model/index.js";
import { placeExits, type Placement } from "../../exits/index.js";
import { folderSource, readJson, readTokenizer } from "../../node/index.js";
import { blockCost, headCost, QUOTED_CONTEXT } from "../../exits/index.js";
import { count, percent, table } from "../format.js";
import { colorsOf, type CommonOptions, type Io, writeResult } from "../io.js";

export interface InspectOptions extends CommonOptions {
  readonly dir: string;
}

/** Exit counts for which placements are shown. */
const EXIT_COUNTS = [1, 2, 3, 4] as const;

export async function run({ dir, json }: InspectOptions, io: Io): Promise<void> {
  const configJson = await readJson(join(dir, "config.json"));
  const { config, parameters, dtypes, unused, missing, misshapen } = describeCheckpoint(
    configJson,
    await folderSource(dir),
  );
  const tokenizer = await readTokenizer(dir);
  const context = Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings);
  const block = blockCost(config, context);
  const heads = headKinds.map((kind) => ({
    kind,
    multiplyAdds: headCost(config, kind),
    blocks: headCost(config, kind) / block,
  }));
  const place = (placement: Placement): Record<string, number[]> =>
    Object.fromEntries(
      EXIT_COUNTS.filter((exits) => exits < config.numLayers).flatMap((exits) => {
        // The released v1 rule has no place for some counts (floor(L / (K + 1)) = 0).
        try {
          return [[String(exits), placeExits(config.numLayers, exits, placement)]];
        } catch {
          return [];
        }
      }),
    );
  const placements = { v1: place("v1"), v2: place("v2") };
  const result = {
    dir,
    config,
    parameters,
    dtypes,
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
      heads,
    },
    placements,
  };

  const { bold, dim, yellow } = colorsOf(io);
  const dense = heads[0]!;
  const list = (names: readonly string[]): string =>
    names.length === 0
      ? "none"
      : `${names.slice(0, 6).join(", ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}`;
  const stored = Object.entries(dtypes)
    .map(([dtype, values]) => `${dtype}${values === parameters ? "" : ` ${percent(values / parameters)}`}`)
    .join(", ");
  writeResult(io, { json }, result, [
    `${bold(dir)}: ${config.modelType}, ${count(parameters)} parameters stored as ${stored}`,
    ...table(
      [
        ["blocks", String(config.numLayers)],
        ["hidden size", String(config.hiddenSize)],
        ["heads", `${config.numHeads} of ${config.headDim}, ${config.numKvHeads} for keys and values`],
        ["MLP", `${config.intermediateSize}, ${config.activation}${config.gatedMlp ? ", gated" : ""}`],
        ["vocabulary", `${config.vocabSize}, embeddings ${config.tieWordEmbeddings ? "tied" : "untied"}`],
        [
          "context",
          `${config.maxPositionEmbeddings} tokens, ` +
            `positions ${config.rotary === undefined ? "learned" : `rotary (${config.rotary.dim} of ${config.headDim})`}`,
        ],
        ["residual", config.parallelResidual ? "parallel" : "sequential"],
        [
          "special ids",
          `begin ${config.bosTokenId ?? "none"}, ` +
            `end ${config.eosTokenIds.length === 0 ? "none" : config.eosTokenIds.join(", ")}`,
        ],
        ["tokenizer", tokenizer === undefined ? "none (no tokenizer.json)" : `${tokenizer.vocabSize} entries`],
        ["unused tensors", list(unused)],
      ],
      { words: true },
    ),
    ...(missing.length > 0 ? [yellow(`missing tensors: ${list(missing)}`)] : []),
    ...misshapen.map(({ name, expected, found }) =>
      yellow(`misshapen: ${name} should be [${expected.join(", ")}], found [${found.join(", ")}]`),
    ),
    "",
    `multiply-adds per decoded token at context ${context}: block ${count(block)}, dense ` +
      `head ${count(dense.multiplyAdds)} = ${dense.blocks.toFixed(2)} blocks`,
    ...table([
      ["head kind", "multiply-adds", "blocks"],
      ...heads.map(({ kind, multiplyAdds, blocks }) => [kind, count(multiplyAdds), blocks.toFixed(2)]),
    ]),
    dim(`A refused exit costs a head, a taken one saves the blocks above and the final head.`),
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
  ]);
}
