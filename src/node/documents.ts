/**
 * Documents on disk, for training, calibration and sampling:
 *   *.txt    documents separated by form feeds or blank lines
 *   *.jsonl  (or .ndjson) an object on every line:
 *              { "text": "…" }                       a text
 *              { "ids": [1, 2], "from": 1 }          token ids
 *              { "prompt": …, "answer": … }          token ids or text, or messages as a prompt; the answer counts
 *              { "messages": […] }                   a conversation; its last message counts, the assistant's
 *   folder   the .txt and .jsonl files in it, by name
 * Any object may name a "group". Messages need the model's chat template.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { parseTaskLine, type TaskItem, type TaskKind } from "../evaluate/tasks.js";
import { parseJson } from "../model/files/folder.js";
import {
  answerDocument,
  type ChatMessage,
  cutDocuments,
  type Document,
  encodeChat,
  type Tokenizer,
} from "../model/index.js";
import { readText, readUtf8 } from "./files.js";

/** Text stays text, so it needs no tokenizer. */
interface DocumentReader {
  readonly tokenizer: Tokenizer;
}

export interface PromptLine {
  readonly ids: readonly number[];
  readonly group?: string;
}

/** Throws an EarlyExitError if there are no documents, or for a malformed line, which it names. */
export async function readDocuments(path: string, model: DocumentReader): Promise<Document[]> {
  const documents: Document[] = [];
  for await (const text of textsIn(path)) {
    documents.push(typeof text === "string" ? text : await documentOf(text, model));
  }
  return documents;
}

/**
 * Prompts as token ids: of documents with an answer, the prompt; of a conversation that ends with the assistant, the
 * part before; of a text, all of it.
 */
export async function readPrompts(path: string, model: DocumentReader): Promise<PromptLine[]> {
  const prompts: PromptLine[] = [];
  for await (const text of textsIn(path)) {
    prompts.push(typeof text === "string" ? { ids: model.tokenizer.encode(text) } : await promptOf(text, model));
  }
  return prompts;
}

interface Line {
  readonly text?: unknown;
  readonly ids?: unknown;
  readonly from?: unknown;
  readonly prompt?: unknown;
  readonly answer?: unknown;
  readonly messages?: unknown;
  readonly group?: unknown;
}

interface LineOfFile {
  readonly json: Line;
  /** For messages. */
  readonly where: string;
}

async function documentOf({ json: line, where }: LineOfFile, model: DocumentReader): Promise<Document> {
  const group = groupOf(line, where);
  if (line.prompt !== undefined && line.answer !== undefined) {
    const answer = typeof line.answer === "string" ? answerIds(line.answer, model) : idsOf(line.answer, where);
    return answerDocument(await encodePrompt(line.prompt, where, model), answer, group);
  }
  if (line.messages !== undefined) {
    const messages = messagesOf(line.messages, where);
    const last = messages.at(-1)!;
    if (last.role !== "assistant" || typeof last.content !== "string") {
      throw malformed(where, "messages to learn from end with an assistant's");
    }
    const prompt = await encodeChat(model.tokenizer, messages.slice(0, -1));
    return answerDocument(prompt, answerIds(last.content, model), group);
  }
  if (line.ids !== undefined) {
    const ids = idsOf(line.ids, where);
    const { from } = line;
    if (from === undefined) return { ids, ...(group !== undefined && { group }) };
    if (typeof from === "number" && from in ids) return { ids, from, ...(group !== undefined && { group }) };
    throw malformed(where, "from is the index of an id");
  }
  if (typeof line.text !== "string") throw malformed(where);
  return group === undefined ? line.text : { ids: model.tokenizer.encode(line.text), group };
}

async function promptOf({ json: line, where }: LineOfFile, model: DocumentReader): Promise<PromptLine> {
  const group = groupOf(line, where);
  const source = line.prompt ?? line.messages ?? line.ids ?? line.text;
  const whole = Array.isArray(source) && line.prompt === undefined && line.messages !== undefined;
  const ends = whole && (source.at(-1) as Partial<ChatMessage> | undefined)?.role === "assistant";
  const ids = await encodePrompt(ends ? source.slice(0, -1) : source, where, model);
  return { ids, ...(group !== undefined && { group }) };
}

async function encodePrompt(prompt: unknown, where: string, { tokenizer }: DocumentReader): Promise<readonly number[]> {
  if (typeof prompt === "string") return tokenizer.encode(prompt);
  if (Array.isArray(prompt) && typeof prompt[0] === "object") {
    return encodeChat(tokenizer, messagesOf(prompt, where));
  }
  return idsOf(prompt, where);
}

/** The tokens of an answer and the end-of-text token, which it chose last. */
function answerIds(text: string, { tokenizer }: DocumentReader): number[] {
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  return tokenizer.eosTokenId === undefined ? ids : [...ids, tokenizer.eosTokenId];
}

function messagesOf(value: unknown, where: string): readonly ChatMessage[] {
  const isMessage = (one: unknown): boolean => typeof one === "object" && one !== null;
  if (Array.isArray(value) && value.length > 0 && value.every(isMessage)) return value as readonly ChatMessage[];
  throw malformed(where, "messages are a list of objects, at least one");
}

function idsOf(value: unknown, where: string): readonly number[] {
  const legal = Array.isArray(value) && value.every((id) => Number.isInteger(id) && (id as number) >= 0);
  if (legal) return value as readonly number[];
  throw malformed(where);
}

function groupOf({ group }: Line, where: string): string | undefined {
  if (group === undefined || typeof group === "string") return group;
  throw malformed(where, "a group is a string");
}

function malformed(where: string, what = "expected text, ids, prompt and answer, or messages"): EarlyExitError {
  return new EarlyExitError("json-malformed", `${where}: ${what}; see the formats of readDocuments`, { where });
}

/** Lines of JSON and documents of text, of a file or a folder's files. Throws an EarlyExitError if there are none. */
async function* textsIn(path: string): AsyncGenerator<string | LineOfFile, void, undefined> {
  let empty = true;
  for (const file of await textFiles(path)) {
    if (file.endsWith(".json")) throw malformed(file, "is no text; .jsonl has an object on every line");
    for (const text of /\.(jsonl|ndjson)$/i.test(file) ? await readLines(file) : cutDocuments(await readUtf8(file))) {
      empty = false;
      yield text;
    }
  }
  if (empty) throw new EarlyExitError("documents-few", `${path}: holds no text`, { path });
}

/** The path itself, or a folder's text files. Throws an EarlyExitError `file-missing`. */
async function textFiles(path: string): Promise<string[]> {
  const folder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (!folder) return [path];
  const names = (await readdir(path)).filter((name) => name.endsWith(".txt") || name.endsWith(".jsonl"));
  return names.sort().map((name) => join(path, name));
}

async function readLines(file: string): Promise<LineOfFile[]> {
  const lines = (await readUtf8(file)).split("\n");
  return lines.flatMap((line, index) => {
    if (line.trim() === "") return [];
    const where = `${file}, line ${index + 1}`;
    const json = parseJson(line, where);
    if (typeof json !== "object" || json === null) throw malformed(where);
    return [{ json, where }];
  });
}

/**
 * Reads an evaluation task: a JSON object per line; for perplexity also a text file. Throws a TaskError that names a
 * malformed line, and an EarlyExitError `file-missing`.
 */
export async function* readTask(path: string, kind: TaskKind): AsyncGenerator<TaskItem, void, undefined> {
  if (kind === "perplexity" && !/\.(jsonl|ndjson)$/i.test(path)) {
    for (const text of cutDocuments(await readText(path))) yield { kind, text };
    return;
  }
  for (const [index, line] of (await readUtf8(path)).split("\n").entries()) {
    if (line.trim() !== "") yield parseTaskLine(line, index + 1, kind);
  }
}
