/** documents.json in a demo's model folder: texts for training, calibration and tests. */
import { join } from "node:path";
import { EarlyExitError, type Model } from "early-exits";
import { readJson } from "early-exits/node";

export interface DemoDocument {
  readonly title: string;
  readonly text: string;
}

export interface DemoDocuments {
  readonly train: readonly DemoDocument[];
  readonly calibration: readonly DemoDocument[];
  readonly test: readonly DemoDocument[];
}

const PROMPTS = 16;
const PROMPT_WORDS = 10;

/** Throws an EarlyExitError if the file is missing or has another shape. */
export async function readDemoDocuments(folder: string): Promise<DemoDocuments> {
  const path = join(folder, "documents.json");
  const json = (await readJson(path).catch((error: unknown) => {
    throw new EarlyExitError(
      "demo-model",
      `demo: ${path} cannot be read; either the package is incomplete, or this is a checkout in which the model has ` +
        "not been made yet: npm run pretrain",
      { path },
      { cause: error },
    );
  })) as Partial<DemoDocuments> | null;
  if (typeof json !== "object" || json === null || ![json.train, json.calibration, json.test].every(isDocumentList)) {
    throw new EarlyExitError(
      "demo-documents",
      `${path}: expected lists train, calibration and test of { title, text }`,
      { path },
    );
  }
  return json as DemoDocuments;
}

function isDocumentList(part: unknown): boolean {
  if (!Array.isArray(part) || part.length === 0) return false;
  return part.every(
    (entry: Partial<DemoDocument> | null) => typeof entry?.title === "string" && typeof entry.text === "string",
  );
}

/** Beginnings cut in the middle of a sentence, in at most `tokens` tokens. */
export function promptsOf(model: Model, documents: readonly DemoDocument[], tokens: number): number[][] {
  return documents.slice(0, PROMPTS).map(({ text }) => {
    const words = text.split(" ").slice(0, PROMPT_WORDS);
    while (words.length > 1 && /[.!?]["”']?$/.test(words.at(-1)!)) words.pop();
    return model.tokenizer.encode(words.join(" ")).slice(0, tokens);
  });
}
