/**
 * Evaluation tasks on disk: a JSON object a line, read as it is needed; for perplexity also a text file of documents.
 */
import { createReadStream } from "node:fs";
import { EarlyExitError } from "../errors.js";
import { parseTaskLine, type TaskItem, type TaskKind } from "../evaluate/index.js";
import { cutDocuments } from "../model/index.js";
import { readText } from "./files.js";

/**
 * The items of a file. Throws a TaskError that names the line which is wrong, an EarlyExitError `file-missing` where
 * there is no file.
 */
export async function* readTask(path: string, kind: TaskKind): AsyncGenerator<TaskItem, void, undefined> {
  if (kind === "perplexity" && !path.endsWith(".jsonl")) {
    for (const text of cutDocuments(await readText(path))) yield { kind, text };
    return;
  }
  let number = 0;
  for await (const line of readLines(path)) {
    number++;
    if (line.trim() !== "") yield parseTaskLine(line, number, kind);
  }
}

/** Lines end at line feeds only: JSON strings may hold the other separators that node:readline splits at. */
async function* readLines(path: string): AsyncGenerator<string, void, undefined> {
  let rest = "";
  try {
    for await (const chunk of createReadStream(path, "utf8") as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    throw new EarlyExitError(
      "file-missing",
      `${path}: cannot be read (${code}); check the path`,
      { path },
      { cause: error },
    );
  }
  yield rest;
}
