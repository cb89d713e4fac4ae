/**
 * Documents of several kinds, each of `tokens` tokens of the model: speeches that the model never saw, an encyclopedia
 * (WikiText-2), stories for children (TinyStories), this library's own code, and questions with answers, written as a
 * chat (BoolQ). Those that are not part of the project are read from ../shared/fixtures.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRng } from "early-exits/tensor";
import type { Tokenizer } from "early-exits/model";
import { loadSotu, splitCorpus } from "../ship/corpus.js";
import { shippingTexts } from "../ship/texts.js";
import { SPLIT_SEED } from "../ship/segments.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const shared = join(root, "../shared/fixtures");

export interface KindOfText {
  readonly name: string;
  /** Token ids, in random order. */
  readonly documents: readonly (readonly number[])[];
}

/** All kinds, with at most `count` documents each. */
export async function kindsOfText(
  tokenizer: Tokenizer,
  { count, tokens }: { readonly count: number; readonly tokens: number },
): Promise<KindOfText[]> {
  const kind = (name: string, texts: readonly string[]): KindOfText => {
    const documents = texts
      .map((text) => tokenizer.encode(text).slice(0, tokens))
      .filter(({ length }) => length === tokens);
    return { name, documents: createRng(1).shuffle(documents).slice(0, count) };
  };
  return [
    kind(
      "speeches",
      shippingTexts(splitCorpus(loadSotu().documents, SPLIT_SEED)).calibration.map(({ text }) => text),
    ),
    kind("WikiText-2", (await readFile(join(shared, "text/wikitext2_valid.txt"), "utf8")).split("\n")),
    kind(
      "stories",
      (await lines("text/tinystories_clean.jsonl")).map((line) => textIn(line)),
    ),
    kind("code", await codePieces()),
    kind("chat", await chatTurns()),
  ];
}

async function lines(path: string): Promise<string[]> {
  return (await readFile(join(shared, path), "utf8")).split("\n").filter((line) => line !== "");
}

function textIn(line: string): string {
  const json = JSON.parse(line) as string | { readonly text: string };
  return typeof json === "string" ? json : json.text;
}

/** Pieces of 60 lines of the library's source. */
async function codePieces(): Promise<string[]> {
  const names = await readdir(join(root, "src"), { recursive: true });
  const pieces: string[] = [];
  for (const name of names.filter((path) => path.endsWith(".ts")).sort()) {
    const rows = (await readFile(join(root, "src", name), "utf8")).split("\n");
    for (let begin = 0; begin + 20 < rows.length; begin += 60) pieces.push(rows.slice(begin, begin + 60).join("\n"));
  }
  return pieces;
}

/** A question and its answer: the questions and passages of BoolQ. */
async function chatTurns(): Promise<string[]> {
  return (await lines("eval/boolq_200.jsonl")).map((line) => {
    const { query } = JSON.parse(line) as { readonly query: string };
    const [passage = "", question = ""] = query.replace(/^Passage: /, "").split("Question:");
    return `User:${question.replace(/Answer:\s*$/, "")}\nAssistant: ${passage}`;
  });
}
