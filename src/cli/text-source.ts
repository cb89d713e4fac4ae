/** Documents for a command: from a text file, and what is known of where they came from. */
import { EarlyExitError } from "../index.js";
import { cutDocuments } from "../model/index.js";
import { readText } from "../node/index.js";
import { hashDocuments } from "./training-run.js";

export interface TextSource {
  readonly documents: readonly string[];
  readonly hash: string;
}

/** The documents of a file: blank lines (or the lines of a .jsonl) separate them. */
export async function readDocuments(path: string): Promise<TextSource> {
  const documents = cutDocuments(await readText(path));
  if (documents.length === 0) throw new EarlyExitError("documents-few", `${path}: holds no text`, { path });
  return { documents, hash: hashDocuments(documents) };
}
