/** Everyday prompts as the stages of `npm run pretrained` ask them, and the model's answers to them, which are ours. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Tokenizer } from "early-exits";
import { type ChatMessage, encodeChat } from "early-exits/model";
import { writeFileAtomic } from "early-exits/node";
import type { Answer, AskedPrompt } from "../answers.js";

const at = (name: string): URL => new URL(name, import.meta.url);
const answersFile = (dtype: string): URL => at(`answers-${dtype}.json.gz`);

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

/** Writes the ids of answers by the group of their prompt, compressed. */
export async function packAnswers(answers: readonly Answer[], dtype: string): Promise<void> {
  const ids = Object.fromEntries(answers.map(({ group, answer }) => [group!, answer]));
  await writeFileAtomic(answersFile(dtype).pathname, gzipSync(JSON.stringify(ids), { level: 9 }));
}

/** The ids of the answers to the prompts with these groups, written by the model in a dtype. */
export async function unpackAnswers(dtype: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const json = gunzipSync(await readFile(answersFile(dtype))).toString();
  return new Map(Object.entries(JSON.parse(json) as Record<string, number[]>));
}

/**
 * The answers to all prompts. Each prompt is a document of its own, so they have no groups. Throws an Error if the
 * repository lacks one.
 */
export async function everydayAnswers(tokenizer: Tokenizer, dtype: string): Promise<Answer[]> {
  const answers = await unpackAnswers(dtype);
  return Promise.all(
    (await everydayPrompts()).map(async ({ messages, group, kind, split }) => {
      const answer = answers.get(group);
      if (answer === undefined) throw new Error(`no answer in ${dtype} to the everyday prompt ${group}`);
      return { kind, split, temperature: 0, dtype, prompt: await encodeChat(tokenizer, messages), answer };
    }),
  );
}
