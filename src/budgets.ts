/**
 * Budgets for reading, parsing and trying a file that comes from elsewhere before it is refused. A hostile or damaged
 * file must neither hang a process nor fill its memory, so every reader compares sizes and counts with these limits
 * first. All are far above what published models need; the option `budgets` of a reader raises them.
 */
import { BudgetError, OptionError } from "./errors.js";

/** The limits of readers. `Infinity` switches a limit off. */
export interface Budgets {
  /** Bytes of a small JSON or text file: config.json, generation_config.json, heads.json, a chat template. */
  readonly configBytes: number;
  /** Bytes of model.safetensors.index.json; 92,000 tensors take 9 MB. */
  readonly indexBytes: number;
  /** Bytes of tokenizer.json; Gemma 3's has 33 MB. */
  readonly tokenizerBytes: number;
  /** Keys in all objects of a JSON file. */
  readonly jsonKeys: number;
  /** Values in all lists and objects of a JSON file. */
  readonly jsonValues: number;
  /** Lists and objects inside each other. */
  readonly jsonDepth: number;
  /** Bytes of the header of a safetensors file; 30,000 tensors take 4 MB. */
  readonly safetensorsHeaderBytes: number;
  /** Bytes before the tensors of a GGUF file, nearly all of them the vocabulary. */
  readonly ggufHeaderBytes: number;
  /** Texts, booleans, lists, pairs and tensors in the head of a GGUF file. */
  readonly ggufValues: number;
  /** Blocks of a model. */
  readonly layers: number;
  /** Squares of the lengths of all tokens of a GGUF file, summed: the work of finding its merges. */
  readonly mergeWork: number;
  /** Characters of all tokens that a tokenizer.json adds to its vocabulary. */
  readonly addedCharacters: number;
  /** Steps of a tokenizer's normalizer, pre-tokenizer, decoder or post-processor, each. */
  readonly tokenizerSteps: number;
  /** Characters of one pattern of a tokenizer, or of a text that it inserts. */
  readonly patternLength: number;
  /** By how many times a tokenizer's replacements may lengthen a text. */
  readonly textGrowth: number;
  /** Milliseconds that all patterns of a tokenizer may take for runs of 4,096 equal characters. */
  readonly patternMilliseconds: number;
}

/** The limits where the caller names none. */
export const defaultBudgets: Budgets = {
  configBytes: 4 * 2 ** 20,
  indexBytes: 16 * 2 ** 20,
  tokenizerBytes: 64 * 2 ** 20,
  jsonKeys: 2 ** 19,
  jsonValues: 2 ** 21,
  jsonDepth: 64,
  safetensorsHeaderBytes: 8 * 2 ** 20,
  ggufHeaderBytes: 64 * 2 ** 20,
  ggufValues: 2 ** 21,
  layers: 2 ** 12,
  mergeWork: 2 ** 26,
  addedCharacters: 2 ** 19,
  tokenizerSteps: 64,
  patternLength: 4096,
  textGrowth: 64,
  patternMilliseconds: 250,
};

/** The defaults with the caller's changes. Throws an OptionError for an unknown name, or a value below 1. */
export function budgetsWith(changes: Partial<Budgets> = {}): Budgets {
  for (const [name, value] of Object.entries(changes)) {
    const legal = Object.hasOwn(defaultBudgets, name) && typeof value === "number" && value >= 1;
    if (legal) continue;
    throw new OptionError(
      "option-range",
      `budgets: ${name} is ${String(value)}; legal are numbers >= 1 for ${Object.keys(defaultBudgets).join(", ")}`,
      { name, value },
    );
  }
  return { ...defaultBudgets, ...changes };
}

/** Throws a BudgetError if `found` exceeds the budget `name`. `what` is what was counted, in what: "x.json: bytes". */
export function requireBudget(budgets: Budgets, name: keyof Budgets, found: number, what: string): void {
  if (found > budgets[name]) throw overBudget(budgets, name, found, what);
}

/** The error for what exceeds a budget. */
export function overBudget(budgets: Budgets, name: keyof Budgets, found: number, what: string): BudgetError {
  const limit = budgets[name];
  return new BudgetError(
    "budget-exceeded",
    `${what}: found ${found}, and the limit is ${limit}; if you trust the file, raise the limit with the option ` +
      `budgets: { ${name}: ${Math.ceil(found)} }`,
    { budget: name, found, limit },
  );
}
