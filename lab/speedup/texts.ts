/** Sources of the benchmark's texts and heads. */
import { existsSync } from "node:fs";
import { attachHeads, type ExitHeads, type Model, splitDocuments, trainHeads } from "early-exits";
import { readHeads, readText } from "early-exits/node";
import { embeddedHeads } from "../../apps/cli/demo/demo.js";
import { type Parts, readDocuments } from "../ship/embedded.js";

/** Token ids, one list per prompt. */
export type Prompts = readonly (readonly number[])[];

export const PROMPT_TOKENS = 24;

/** The beginnings of documents, all of the same length. */
export function beginnings({ tokenizer }: Model, documents: readonly string[], most: number): Prompts {
  return documents
    .map((document) => tokenizer.encode(document).slice(0, PROMPT_TOKENS))
    .filter(({ length }) => length === PROMPT_TOKENS)
    .slice(0, most);
}

/** Texts to train on, to calibrate on and to judge on: from a text file, or from the folder's documents.json. */
export async function readParts(folder: string, text: string | undefined): Promise<Parts> {
  if (text === undefined) return readDocuments(folder);
  const { train, held } = splitDocuments(await readText(text), { train: 0.8, seed: 1 });
  const half = held.length >> 1;
  return { train, calibration: held.slice(0, half), test: held.slice(half) };
}

/** Reads the heads in a folder, or trains heads if there are none; says which in words. */
export async function openHeads(
  model: Model,
  folder: string,
  texts: readonly string[],
  steps: number,
): Promise<[heads: ExitHeads, origin: string]> {
  return existsSync(folder)
    ? [await readHeads(folder, model), "the folder's own heads"]
    : [await trainedHeads(model, texts, steps), `heads trained here, ${steps} steps`];
}

/**
 * Sharp heads, stored small: a draft needs the right argmax more than a good probability, and every head costs time.
 */
async function trainedHeads(model: Model, texts: readonly string[], steps: number): Promise<ExitHeads> {
  const { numLayers } = model.config;
  const heads = attachHeads(model, {
    exits: [Math.max(1, numLayers >> 2), numLayers >> 1],
    dtype: embeddedHeads.dtype,
  });
  await trainHeads(heads, texts, { steps, loss: embeddedHeads.loss });
  return heads;
}
