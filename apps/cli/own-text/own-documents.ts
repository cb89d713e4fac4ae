/**
 * Held-out documents of a model's own: a chat model's answers to prompts that it writes, another's texts sampled from
 * nothing. A file keeps answers for the next calibration of the same heads.
 */
import { dirname, join } from "node:path";
import type { Model } from "early-exits";
import type { Document } from "early-exits/model";
import { createRng } from "early-exits/tensor";
import type { Io } from "../io.js";
import { sampleAnswers } from "../training/head-data.js";
import { sampleText } from "../training/train-heads.js";
import { writePrompts } from "./write-prompts.js";

export interface OwnDocuments {
  readonly count: number;
  readonly seed: number;
  /** Temperature of answers; texts from nothing are sampled at 1. */
  readonly temperature: number;
  /** New tokens per document. */
  readonly tokens: number;
  /** Prompts are kept beside it. */
  readonly file: string;
}

const BATCH = 16;

/** Different purposes have different documents, whatever the seed. */
export function ownSeed(seed: number, purpose: "training" | "calibration"): number {
  return createRng(seed)
    .fork(`own text for ${purpose}`)
    .integer(2 ** 31);
}

export async function ownDocuments(
  model: Model,
  { count, seed, temperature, tokens, file }: OwnDocuments,
  io: Io,
): Promise<Document[]> {
  const own = ownSeed(seed, "calibration");
  if (model.tokenizer.chatTemplate === undefined) {
    return sampleText(model, { self: count, sequence: tokens, seed: own }, io);
  }
  const promptFile = join(dirname(file), "held-prompts.jsonl");
  const prompts = await writePrompts(model, { count, seed: own, batchSize: BATCH, file: promptFile }, io);
  const recipe = { self: prompts.length, selfTemperature: temperature, selfTokens: tokens };
  return sampleAnswers(model, prompts, { ...recipe, seed: own, heldShare: 0 }, { file }, io);
}
