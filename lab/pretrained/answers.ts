/**
 * The model's own answers, one line of JSON for each, appended as they come: a run that is stopped goes on where it
 * was. An answer is the model's, so the line holds its token ids, and a reader needs no template and no tokenizer. The
 * states that heads train on are kept while the answers are written.
 */
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Model } from "early-exits";
import { createShardWriter, selfAnswers } from "early-exits/exits";
import { answerDocument, type ChatMessage, encodeChat, type MarkedDocument } from "early-exits/model";
import { folderStore, writeFileAtomic } from "early-exits/node";
import type { PromptSplit } from "./prompts.js";

/** A conversation that ends with the user's message. */
export interface AskedPrompt {
  readonly messages: readonly ChatMessage[];
  readonly kind: string;
  readonly group: string;
  readonly split: PromptSplit;
}

/** One line of a file of answers. */
export interface Answer {
  /** Absent where each prompt is a document of its own. */
  readonly group?: string;
  readonly kind: string;
  readonly split: PromptSplit;
  /** 0 is greedy. */
  readonly temperature: number;
  /** As in sampling; absent if it was off. */
  readonly topK?: number;
  /** The dtype that the model ran in. */
  readonly dtype: string;
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

export interface AnswerOptions {
  readonly temperature: number;
  /** The largest logits that are sampled from; faster than from all. @default all */
  readonly topK?: number;
  readonly seed: number;
  readonly maxNewTokens: number;
  /** Conversations decoded together. */
  readonly batchSize: number;
  /** Folder and depths of the states to keep. @default none are */
  readonly states?: { readonly folder: string; readonly depths: readonly number[] } | undefined;
  /** Receives the answers in the file, and the tokens of those written now. */
  readonly onProgress?: (answers: number, tokens: number) => void;
}

/** Appends the answers that the file lacks, in the order of the prompts. */
export async function writeAnswers(
  model: Model,
  prompts: readonly AskedPrompt[],
  path: string,
  { states: kept, onProgress, ...sampling }: AnswerOptions,
): Promise<void> {
  const { tokenizer } = model;
  await dropTornLine(path);
  const written = await readAnswers(path);
  const writer = kept && createShardWriter(model, kept.depths, folderStore(kept.folder));
  for (const line of written) await writer?.add(documentOf(line), undefined);
  const ids = await Promise.all(prompts.map(({ messages }) => encodeChat(tokenizer, messages)));
  let tokens = 0;
  for await (const { index, prompt, answer, states } of selfAnswers(model, ids, {
    ...sampling,
    first: written.length,
    ...(kept && { depths: kept.depths }),
  })) {
    const { group, kind, split } = prompts[index]!;
    const { temperature, topK } = sampling;
    const drawn = { temperature, ...(topK !== undefined && { topK }) };
    const line: Answer = { group, kind, split, ...drawn, dtype: model.dtype, prompt, answer };
    await appendFile(path, `${JSON.stringify(line)}\n`);
    await writer?.add(documentOf(line), states);
    tokens += answer.length;
    onProgress?.(index + 1, tokens);
  }
}

/** A conversation in which the answer counts. */
export function documentOf({ prompt, answer, group }: Answer): MarkedDocument {
  return answerDocument(prompt, answer, group);
}

/** The whole lines of the file; none if it does not exist. */
export async function readAnswers(path: string): Promise<Answer[]> {
  return wholeLines(await readFile(path, "utf8").catch(() => ""))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Answer);
}

// Answers in the repository: token ids by the group of their prompt, which is a hash of it, compressed.

export function answersArchive(name: string): URL {
  return new URL(`./answers/${name}.json.gz`, import.meta.url);
}

/** At most two to a prompt: the second has a 2 after the group. */
export async function packAnswers(file: URL, answers: readonly Answer[]): Promise<void> {
  const ids: Record<string, readonly number[]> = {};
  for (const { group, answer } of answers) ids[group! in ids ? `${group!} 2` : group!] = answer;
  await writeFileAtomic(file.pathname, gzipSync(JSON.stringify(ids), { level: 9 }));
}

export async function unpackAnswers(file: URL): Promise<ReadonlyMap<string, readonly number[]>> {
  const json = gunzipSync(await readFile(file)).toString();
  return new Map(Object.entries(JSON.parse(json) as Record<string, number[]>));
}

/** The answers to these prompts in the repository, in order; prompts without one are left out. */
export async function archivedAnswers(
  file: URL,
  { tokenizer, dtype }: Pick<Model, "tokenizer" | "dtype">,
  prompts: readonly AskedPrompt[],
  temperature = 0,
): Promise<Answer[]> {
  const kept = await unpackAnswers(file);
  const answers: Answer[] = [];
  for (const { messages, ...asked } of prompts) {
    const prompt = await encodeChat(tokenizer, messages);
    for (const key of [asked.group, `${asked.group} 2`]) {
      const answer = kept.get(key);
      if (answer) answers.push({ ...asked, temperature, dtype, prompt, answer });
    }
  }
  return answers;
}

/** Begins a file of greedy answers with those in the repository, up to the first prompt that has none. */
export async function restoreAnswers(
  file: URL,
  path: string,
  model: Pick<Model, "tokenizer" | "dtype">,
  prompts: readonly AskedPrompt[],
): Promise<void> {
  if ((await readAnswers(path)).length > 0) return;
  for (const [i, answer] of (await archivedAnswers(file, model, prompts)).entries()) {
    if (answer.group !== prompts[i]!.group) return;
    await appendFile(path, `${JSON.stringify(answer)}\n`);
  }
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
