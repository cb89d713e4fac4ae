/** Evaluation tasks on disk: a JSON object per line, read as needed; for perplexity also a text file. */
import { createReadStream } from "node:fs";
import { EarlyExitError } from "../errors.js";
import { parseTaskLine, type TaskItem, type TaskKind } from "../evaluate/tasks.js";
import { cutDocuments } from "../model/index.js";
import { readText } from "./files.js";

/** Throws a TaskError that names a malformed line, and an EarlyExitError `file-missing`. */
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

/** Splits at line feeds only: JSON strings may contain the other separators, at which node:readline splits too. */
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
    const found = `cannot be read (${code}); check the path`;
    throw new EarlyExitError("file-missing", `${path}: ${found}`, { path }, { cause: error });
  }
  yield rest;
}
