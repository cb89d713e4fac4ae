/**
 * Held-out documents of a model's own: a chat model's answers to prompts that it writes, another's texts sampled from
 * nothing. A file keeps answers for the next calibration of the same heads.
 */
import { join } from "node:path";
import type { Model } from "early-exits";
import { selfAnswers } from "early-exits/exits";
import { type Document, encodeChat } from "early-exits/model";
import { fileExists, type PromptLine, readPrompts, writeFileAtomic } from "early-exits/node";
import { createRng } from "early-exits/tensor";
import { hashDocuments } from "./documents.js";
import type { Io } from "./io.js";
import { withProgress } from "./progress.js";
import { ANSWERS_TOGETHER, sampleAnswers } from "./training/head-data.js";
import { sampleText } from "./training/train-heads.js";

interface OwnDocuments {
  readonly count: number;
  readonly seed: number;
  /** Temperature of answers; texts from nothing are sampled at 1. */
  readonly temperature: number;
  /** New tokens per document. */
  readonly tokens: number;
  /** Keeps prompts and answers. */
  readonly folder: string;
}

/**
 * A file in a folder, named by all that its contents depend on: what another model, recipe or user has put there is
 * neither read nor lost.
 */
export async function ownFile(folder: string, name: string, model: Model, madeOf: readonly unknown[]): Promise<string> {
  const all = JSON.stringify([await model.hash(), model.storedAs, ...madeOf]);
  return join(folder, `${name}-${hashDocuments([all]).slice(0, 8)}.jsonl`);
}

/** Different purposes have different documents, whatever the seed. */
export function ownSeed(seed: number, purpose: "training" | "calibration"): number {
  return createRng(seed)
    .fork(`own text for ${purpose}`)
    .integer(2 ** 31);
}

export async function ownDocuments(
  model: Model,
  { count, seed, temperature, tokens, folder }: OwnDocuments,
  io: Io,
): Promise<Document[]> {
  const own = ownSeed(seed, "calibration");
  if (model.tokenizer.chatTemplate === undefined) {
    return sampleText(model, { self: count, sequence: tokens, seed: own }, io);
  }
  const promptFile = await ownFile(folder, "held-prompts", model, [own]);
  const prompts = await writePrompts(model, { count, seed: own, file: promptFile }, io);
  const file = await ownFile(folder, "held-answers", model, [own, temperature, tokens]);
  const recipe = { self: prompts.length, selfTemperature: temperature, selfTokens: tokens };
  return sampleAnswers(model, prompts, { ...recipe, seed: own, heldShare: 0 }, { file }, io);
}

const LONGEST = 48;
/** Turns sampled for one that is kept. */
const TRIES = 4;

interface PromptPlan {
  readonly count: number;
  readonly seed: number;
  /** JSON lines of messages. A file with enough of them is read instead. */
  readonly file: string;
}

/**
 * Prompts that a chat model writes itself: given the beginning of a conversation up to the user's turn, it continues
 * with what a user might say (Magpie, arXiv 2406.08464). Unended turns are cut, empty and repeated ones left out, so
 * there may be fewer if the model repeats itself. Prompt i depends on the seed and on those before it alone. A file
 * that has enough of them is read instead.
 */
export async function writePrompts(model: Model, { count, seed, file }: PromptPlan, io: Io): Promise<PromptLine[]> {
  if (await fileExists(file)) {
    const kept = await readPrompts(file, model);
    if (kept.length >= count) return kept.slice(0, count);
  }
  const texts = await userTurns(model, { count, seed }, io);
  const lines = texts.map((content) => JSON.stringify({ messages: [{ role: "user", content }] }));
  await writeFileAtomic(file, lines.map((line) => `${line}\n`).join(""));
  return readPrompts(file, model);
}

async function userTurns(model: Model, { count, seed }: Omit<PromptPlan, "file">, io: Io): Promise<readonly string[]> {
  const { tokenizer } = model;
  const { beginning, end } = await turnOf(model);
  const texts = new Set<string>();
  await withProgress(io, "prompts", async (report) => {
    const asked = Array.from({ length: count * TRIES }, () => beginning);
    const turns = selfAnswers(model, asked, {
      maxNewTokens: LONGEST,
      batchSize: ANSWERS_TOGETHER,
      seed,
      signal: io.signal,
    });
    for await (const { answer } of turns) {
      const ids = answer.includes(end) ? answer.slice(0, answer.indexOf(end)) : answer;
      const text = tokenizer.decode(ids).replaceAll("\ufffd", "").trim(); // a cut may split a letter
      if (text !== "") texts.add(text);
      await report({ done: texts.size, total: count, text: "prompts that the model writes itself" });
      if (texts.size === count) return;
    }
  });
  return [...texts];
}

/** Two contents without a token in common; no template treats them differently. */
const CONTENTS = ["Why", "7"] as const;

/** Tokens before the user's words, and the first one after them. */
async function turnOf({ tokenizer }: Model) {
  const [one, other] = await Promise.all(CONTENTS.map((content) => encodeChat(tokenizer, [{ role: "user", content }])));
  const start = one!.findIndex((id, i) => id !== other![i]);
  const content = tokenizer.encode(CONTENTS[0], { addSpecialTokens: false });
  return { beginning: one!.slice(0, start), end: one![start + content.length]! };
}
