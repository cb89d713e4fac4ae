/**
 * The model's own answers, one line of JSON for each, appended as they come: a run that is stopped goes on where it
 * was. An answer is the model's, so the line holds its token ids, and a reader needs no template and no tokenizer.
 */
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { generateBatch, type Model } from "early-exits";
import { encodeChat } from "early-exits/model";
import type { ChatPrompt, PromptSplit } from "./prompts.js";

/** One line of the file. */
export interface Answer {
  readonly group: string;
  readonly kind: string;
  readonly split: PromptSplit;
  /** 0 is greedy. */
  readonly temperature: number;
  readonly seed: number;
  /** The dtype that the model ran in. */
  readonly dtype: string;
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

export interface AnswerOptions {
  readonly temperature: number;
  readonly seed: number;
  readonly maxNewTokens: number;
  /** Conversations decoded together. */
  readonly batchSize: number;
  /** Receives the answers and tokens so far. */
  readonly onProgress?: (answers: number, tokens: number) => void;
}

/** Appends an answer to every prompt that has none with this temperature and seed in the file. */
export async function writeAnswers(
  model: Model,
  prompts: readonly ChatPrompt[],
  path: string,
  { temperature, seed, maxNewTokens, batchSize, onProgress }: AnswerOptions,
): Promise<void> {
  const { tokenizer } = model;
  await dropTornLine(path);
  const written = new Set((await readAnswers(path)).map((line) => key(line.group, line.temperature, line.seed)));
  const waiting = prompts.filter(({ group }) => !written.has(key(group, temperature, seed)));
  let answers = 0;
  let tokens = 0;
  // In slices, because `generateBatch` keeps a summary of every prompt it was given.
  for (let start = 0; start < waiting.length; start += 8 * batchSize) {
    const slice = waiting.slice(start, start + 8 * batchSize);
    const ids = await Promise.all(slice.map(async ({ content }) => encodeChat(tokenizer, [{ role: "user", content }])));
    const texts = slice.map((): number[] => []);
    const batch = generateBatch(model, ids, { temperature, seed: seed + start, maxNewTokens, batchSize });
    for await (const token of batch) texts[token.prompt]!.push(token.id);
    const lines = slice.map(({ group, kind, split }, i): Answer => ({
      group,
      kind,
      split,
      temperature,
      seed,
      dtype: model.dtype,
      prompt: ids[i]!,
      answer: texts[i]!,
    }));
    await appendFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    answers += lines.length;
    tokens += texts.reduce((sum, text) => sum + text.length, 0);
    onProgress?.(answers, tokens);
  }
}

/** The whole lines of the file; none if it does not exist. */
export async function readAnswers(path: string): Promise<Answer[]> {
  return wholeLines(await readFile(path, "utf8").catch(() => ""))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Answer);
}

/** A run that was killed while it wrote leaves part of a line, which the next line must not continue. */
async function dropTornLine(path: string): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => "");
  const whole = wholeLines(text);
  if (whole.length < text.length) await writeFile(path, whole);
}

function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf("\n") + 1);
}

function key(group: string, temperature: number, seed: number): string {
  return `${group} ${temperature} ${seed}`;
}
