/** Everyday prompts as the stages of `npm run pretrained` ask them, and the model's answers to them, which are ours. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Tokenizer } from "early-exits";
import { type ChatMessage, encodeChat } from "early-exits/model";
import { type Answer, type AskedPrompt, packAnswers, unpackAnswers } from "../answers.js";

const at = (name: string): URL => new URL(name, import.meta.url);
export const answersFile = (dtype: string): URL => at(`answers-${dtype}.json.gz`);

/** All prompts: those that certify (split "test"), and those that judge (split "held"). */
export async function everydayPrompts(): Promise<AskedPrompt[]> {
  return [...(await readPrompts("certify", "test")), ...(await readPrompts("held", "held"))];
}

async function readPrompts(name: string, split: "test" | "held"): Promise<AskedPrompt[]> {
  const lines = (await readFile(at(`${name}.jsonl`), "utf8")).trim().split("\n");
  return lines.map((line) => {
    const { kind, messages } = JSON.parse(line) as { kind: string; messages: ChatMessage[] };
    return { kind, messages, split, group: createHash("sha256").update(line).digest("hex").slice(0, 16) };
  });
}

/** Keeps answers by the model in a dtype in the repository. */
export async function keepEveryday(answers: readonly Answer[], dtype: string): Promise<void> {
  await packAnswers(answersFile(dtype), answers);
}

/**
 * The answers to all prompts. Each prompt is a document of its own, so they have no groups. Throws an Error if the
 * repository lacks one.
 */
export async function everydayAnswers(tokenizer: Tokenizer, dtype: string): Promise<Answer[]> {
  const answers = await unpackAnswers(answersFile(dtype));
  return Promise.all(
    (await everydayPrompts()).map(async ({ messages, group, kind, split }) => {
      const answer = answers.get(group);
      if (answer === undefined) throw new Error(`no answer in ${dtype} to the everyday prompt ${group}`);
      return { kind, split, temperature: 0, dtype, prompt: await encodeChat(tokenizer, messages), answer };
    }),
  );
}
