/**
 * Prompts for a pretrained chat model: one instruction for each item of public data (a question, a passage, a story).
 * No item is used twice, so that every prompt is a group of its own. A hash of the item puts it into one split:
 *   test    certifies policies
 *   grid    proposes their thresholds
 *   held    measures what certified policies keep; certifies nothing
 *   train   teaches the heads
 * Items that occur in the conversations of `known` (which teach heads as well) all go to `train`.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Tokenizer } from "early-exits";
import { encodeChat } from "early-exits/model";

export type PromptSplit = "test" | "grid" | "held" | "train";

export interface ChatPrompt {
  /** The user's message. */
  readonly content: string;
  /** Source of the item. */
  readonly kind: string;
  /** Names the item; the unit of independence. */
  readonly group: string;
  readonly split: PromptSplit;
  /** Its line in the file eval/KIND.jsonl, from 0; absent for passages. */
  readonly line?: number;
}

/** Prompts in the splits that are held out; all others train. */
export const HELD_OUT = { test: 1100, grid: 500, held: 300 } as const;
/** Words of a passage in a prompt, at most; its last sentence stays whole where that is possible. */
const PASSAGE_WORDS = 80;
/** A passage of fewer words says too little to be asked about. */
const SHORTEST_PASSAGE = 30;
/** Characters of an item that must not occur in a known conversation. */
const KNOWN_LENGTH = 40;

interface Item {
  readonly kind: string;
  /** Subject of the instruction. */
  readonly text: string;
  readonly instruction: (text: string) => string;
  readonly line?: number;
}

/** The prompts of the fixtures' own conversations, as text: what `chatPrompts` must know to split as the stages do. */
export async function knownConversations(fixtures: string, tokenizer: Pick<Tokenizer, "decode">): Promise<string[]> {
  const lines = await jsonLines(join(fixtures, "models/smollm2-135m-instruct/chat-answers.jsonl"));
  return lines.map(({ prompt }) => tokenizer.decode(prompt as number[]));
}

/** Makes a prompt of each item of `fixtures` (folders `eval` and `text`), in the order of the items' hashes. */
export async function chatPrompts(fixtures: string, known: readonly string[]): Promise<ChatPrompt[]> {
  const items = [...(await questions(fixtures)), ...(await passages(fixtures))];
  const conversations = known.join("\n");
  const unique = new Map(items.map((item) => [itemHash(item), item]));
  const places = { test: 0, grid: 0, held: 0 };
  return [...unique]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([group, { kind, text, instruction, line }]) => {
      const isKnown = conversations.includes(text.slice(0, KNOWN_LENGTH));
      const split = isKnown ? "train" : openSplit(places);
      return { content: instruction(text), kind, group, split, ...(line !== undefined && { line }) };
    });
}

/** Fills the held-out splits in turn, because the items arrive in random order. */
function openSplit(places: Record<"test" | "grid" | "held", number>): PromptSplit {
  const open = (["test", "grid", "held"] as const).find((name) => places[name] < HELD_OUT[name]);
  if (open === undefined) return "train";
  places[open]++;
  return open;
}

interface InSplit {
  readonly split: PromptSplit;
}

/** Held-out items, in order: at most so many that certify (0: all), and so many that judge. */
export function chooseHeldOut<T extends InSplit>(
  items: readonly T[],
  { certify, held }: { readonly certify: number; readonly held: number },
): T[] {
  const chosen = new Set([
    ...items.filter(isCertifying).slice(0, certify > 0 ? certify : Infinity),
    ...items.filter(isHeld).slice(0, held),
  ]);
  return items.filter((item) => chosen.has(item));
}

export function isCertifying({ split }: InSplit): boolean {
  return split === "test" || split === "grid";
}

export function isHeld({ split }: InSplit): boolean {
  return split === "held";
}

/** 16 hexadecimal digits of the SHA-256 of the item's text. */
function itemHash({ text }: Item): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

async function questions(fixtures: string): Promise<Item[]> {
  const rows = async (name: string): Promise<Record<string, unknown>[]> => jsonLines(join(fixtures, "eval", name));
  const query = ({ query }: Record<string, unknown>): string => String(query).replace(/^Question: /, "");
  const asked = async (kind: string): Promise<Item[]> =>
    (await rows(`${kind}.jsonl`)).map((row, line) => ({ kind, line, text: query(row), instruction: (text) => text }));
  const continued = async (kind: string, field: string, words: string): Promise<Item[]> =>
    (await rows(`${kind}.jsonl`)).map((row, line) => ({
      kind,
      line,
      text: passage(String(row[field])),
      instruction: (text) => `${words}\n\n${text}`,
    }));
  const winogrande = (await rows("winogrande_200.jsonl"))
    .filter((_, i) => i % 2 === 0) // two lines ask about one sentence
    .map((row) => ({
      kind: "winogrande",
      text: `${String((row["context_options"] as string[])[0])} ${String(row["continuation"])}`,
      instruction: (text: string) => `Explain this situation in simple words: ${text}`,
    }));
  return [
    ...(await Promise.all(
      ["arc_easy_200", "arc_challenge_200", "openbook_qa_200", "piqa_200", "boolq_200"].map(asked),
    )),
    await continued("copa_100", "query", "Finish this sentence and explain it:"),
    await continued("hellaswag_200", "ctx", "What happens next? Continue the text."),
    await continued("lambada_openai_500", "context", "Continue this story."),
    winogrande,
  ].flat();
}

/** Stories, encyclopedia, novels and plays; what is asked changes from passage to passage. */
async function passages(fixtures: string): Promise<Item[]> {
  const text = async (name: string): Promise<string> => readFile(join(fixtures, "text", name), "utf8");
  const ask = (kind: string, texts: readonly string[], instructions: readonly string[]): Item[] =>
    texts.map((item, i) => ({
      kind,
      text: item,
      instruction: (about) => instructions[i % instructions.length]!.replace("{}", () => about),
    }));
  const stories = (await jsonLines(join(fixtures, "text", "tinystories_clean.jsonl"))).map(({ text }) => String(text));
  const wiki = (await text("wikitext2_valid.txt")).split("\n").map((line) => line.trim());
  const titles = wiki.flatMap((line) => /^= ([^=]+) =$/.exec(line)?.[1] ?? []);
  const articles = paragraphs(wiki.filter((line) => !line.startsWith("=")));
  const novels = paragraphs((await text("charlotte_bronte.txt")).split(/\n\s*\n/));
  const speeches = paragraphs((await text("tinyshakespeare.txt")).split(/\n\s*\n/));
  return [
    ...ask("story", stories.map(passage), [
      "Write a short story that begins like this: {}",
      "Summarize this story in one sentence: {}",
      "What can a child learn from this story? {}",
    ]),
    ...ask("title", titles, ["What do you know about {}?", "Write a paragraph about {}."]),
    ...ask("article", articles, [
      "Summarize this text in two sentences: {}",
      "List the most important facts of this text: {}",
      "Explain this text to a child: {}",
      "Write three questions that this text answers: {}",
    ]),
    ...ask("novel", evenly(novels, 1200), [
      "Describe what happens in this passage: {}",
      "Continue this passage: {}",
      "Rewrite this passage in simple English: {}",
    ]),
    ...ask("play", evenly(speeches, 600), [
      "Rewrite this speech in modern English: {}",
      "Who speaks here, and why? {}",
    ]),
  ];
}

/** Passages of those that are long enough. */
function paragraphs(texts: readonly string[]): string[] {
  return texts
    .map((text) => text.replace(/\s+/g, " ").trim())
    .filter((text) => words(text).length >= SHORTEST_PASSAGE)
    .map(passage);
}

/** The beginning of a text: whole sentences up to the limit, or as many words if the first sentence is longer. */
function passage(text: string): string {
  const kept = words(text).slice(0, PASSAGE_WORDS).join(" ");
  const end = Math.max(kept.lastIndexOf(". "), kept.lastIndexOf("! "), kept.lastIndexOf("? "));
  return words(text).length <= PASSAGE_WORDS || end < kept.length / 2 ? kept : kept.slice(0, end + 1);
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function evenly<T>(items: readonly T[], count: number): T[] {
  return Array.from(
    { length: Math.min(count, items.length) },
    (_, i) => items[Math.floor((i * items.length) / count)]!,
  );
}

async function jsonLines(path: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Token ids of each prompt as the message of a conversation. */
export function encodePrompts(
  tokenizer: Tokenizer,
  asked: readonly Pick<ChatPrompt, "content">[],
): Promise<number[][]> {
  return Promise.all(asked.map(({ content }) => encodeChat(tokenizer, [{ role: "user", content }])));
}
