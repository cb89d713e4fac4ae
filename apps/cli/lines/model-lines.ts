/** The model in a dozen lines, for `plan`. */
import { cacheBytesPerPosition, type DamagedTensor } from "early-exits/model";
import type { ModelDescription } from "early-exits/node";
import { cacheDtypes } from "early-exits/tensor";
import { bytes, count, percent, table } from "../format.js";
import type { colorsOf } from "../io.js";

/** `damaged`: tensors that hold NaN or infinity, if the weights were read. */
export function modelLines(
  dir: string,
  description: ModelDescription,
  damaged: readonly DamagedTensor[] | undefined,
  { bold, yellow }: Pick<ReturnType<typeof colorsOf>, "bold" | "yellow">,
): string[] {
  const { config, parameters, dtypes, missing, misshapen } = description;
  const stored = Object.entries(dtypes)
    .map(([dtype, values]) => `${dtype}${values === parameters ? "" : ` ${percent(values / parameters)}`}`)
    .join(", ");
  return [
    `${bold(dir)}: ${config.modelType}, ${count(parameters)} parameters stored as ${stored}`,
    ...table(rowsOf(description), { words: true }),
    ...(missing.length > 0 ? [yellow(`missing tensors: ${listOf(missing)}`)] : []),
    ...misshapen.map(({ name, expected, found }) =>
      yellow(`misshapen: ${name} should be [${expected.join(", ")}], found [${found.join(", ")}]`),
    ),
    ...(damaged?.length === 0 ? ["weights checked: all are finite numbers"] : []),
    ...(damaged ?? []).map(({ name, nan, infinite, first }) =>
      yellow(`damaged: ${name} holds ${nan} NaN and ${infinite} infinities, from value ${first} on`),
    ),
    "",
  ];
}

function rowsOf({ config, weightBytes, tokenizer, unused }: ModelDescription): string[][] {
  const positions = config.rotary === undefined ? "learned" : `rotary (${config.rotary.dim} of ${config.headDim})`;
  const cache = Object.fromEntries(cacheDtypes.map((dtype) => [dtype, 1000 * cacheBytesPerPosition(config, dtype)]));
  const ends = config.eosTokenIds.length === 0 ? "none" : config.eosTokenIds.join(", ");
  return [
    [
      "blocks",
      `${config.numLayers} of width ${config.hiddenSize}, ${config.parallelResidual ? "parallel" : "sequential"}`,
    ],
    ["attention", `${config.numHeads} heads of ${config.headDim}, ${config.numKvHeads} for keys and values`],
    ["MLP", `${config.intermediateSize}, ${config.activation}${config.gatedMlp ? ", gated" : ""}`],
    ["vocabulary", `${config.vocabSize}, embeddings ${config.tieWordEmbeddings ? "tied" : "untied"}`],
    ["tokenizer", tokenizer === undefined ? "none" : `${tokenizer.vocabSize} entries`],
    ["special ids", `begin ${config.bosTokenId ?? "none"}, end ${ends}`],
    ["context", `${config.maxPositionEmbeddings} tokens, positions ${positions}`],
    ["weights", sizes(weightBytes)],
    ["KV cache", `of 1,000 tokens: ${sizes(cache)}`],
    ["unused tensors", listOf(unused)],
  ];
}

function sizes(byDtype: Readonly<Record<string, number>>): string {
  return Object.entries(byDtype)
    .map(([dtype, size]) => `${bytes(size)} as ${dtype}`)
    .join(", ");
}

function listOf(names: readonly string[]): string {
  if (names.length === 0) return "none";
  return `${names.slice(0, 6).join(", ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}`;
}
