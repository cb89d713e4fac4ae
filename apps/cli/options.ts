/** Options that several commands share, and parsers of values. */
import { lstatSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import { OptionError } from "early-exits";
import { type Budgets, budgetsWith, modelDtypes, type SamplingOptions } from "early-exits/model";
import { libraryDefaults } from "early-exits/node";
import { cacheDtypes } from "early-exits/tensor";
import { given, type OptionDefinition, type SettingsOf } from "./command.js";

export const modelFolder = {
  syntax: "<dir>",
  description: "model folder in Hugging Face layout (config.json, *.safetensors, tokenizer.json), or GGUF file",
} as const;

export const deviceOption = {
  flags: "--device <name>",
  description: "where to compute; auto chooses",
  choices: ["auto", "gpu", "wasm", "reference"],
} as const;

const threadsOption = {
  flags: "--threads <n>",
  description: "threads that share the work of the wasm device; results are the same",
  parse: integer(1),
  defaultNote: "train, calibrate and eval take as many as there are processors, up to 8",
} as const;

export const budgetsOption = {
  flags: "--budgets <limits>",
  description: "raise limits of what is read of the model, such as layers=10000,tokenizerBytes=2e8; trust its files",
  parse: budgets,
} as const;

/** Device, threads, and storage of weights and KV cache. */
export const modelOptions = [
  deviceOption,
  {
    flags: "--dtype <dtype>",
    description: "how weight matrices are stored on the device; stored: as they lie in the file",
    choices: modelDtypes,
    defaultNote: "as the policy's certificate says, otherwise float32, for a GGUF file stored",
  },
  {
    flags: "--unembedding <how>",
    description: "read all of the unembedding, or screen it with a coarse copy (same tokens); auto measures",
    choices: ["auto", "full", "screened"],
  },
  { flags: "--kv-cache <dtype>", description: "how keys and values are stored", choices: cacheDtypes },
  threadsOption,
  budgetsOption,
] as const satisfies readonly OptionDefinition[];

export const headsOption = { flags: "--heads <folder>", description: "heads made by train" } as const;

export const textOption = { flags: "--text <path>" } as const;
export const outOption = { flags: "--out <path>" } as const;
export const outFileOption = { flags: "--out <file>", parse: fileToWrite } as const;
export const seedOption = { flags: "--seed <n>", parse: integer(0) } as const;
export const selfOption = { flags: "--self [n]", parse: integer(1) } as const;
export const promptsOption = { flags: "--prompts <path>" } as const;

export const policyOption = {
  flags: "--policy <file>",
  description: "policy made by calibrate, which turns exits on",
} as const;

export const maxNewTokensOption = {
  flags: "--max-new-tokens <n>",
  description: "largest number of tokens to generate",
  parse: integer(0),
} as const;

export const fillOption = {
  flags: "--fill <how>",
  description: "how keys and values of skipped blocks are filled",
} as const;

export const heldOutTextOption = {
  ...textOption,
  description: "text that the heads were not trained on: lines of a .jsonl file, or text cut at blank lines",
} as const;

export const documentsOption = {
  flags: "--documents <n>",
  description: "use at most this many documents",
  parse: integer(1),
} as const;

export const agreementOption = {
  flags: "--agreement <share>",
  description: "share of tokens that must agree with the full model",
  parse: number(1, { open: true }),
} as const;

export const samplingOptionDefaults = {
  temperature: libraryDefaults.sampling.temperature,
  topK: libraryDefaults.sampling.topK,
  topP: libraryDefaults.sampling.topP,
} as const;

export const samplingOptions = [
  { flags: "--temperature <t>", description: "0 is greedy", parse: number(100) },
  { flags: "--top-k <k>", description: "keep only the k most likely tokens; 0 keeps all", parse: integer(0) },
  {
    flags: "--top-p <p>",
    description: "keep only the most likely tokens whose probabilities sum to this share",
    parse: number(1),
  },
] as const satisfies readonly OptionDefinition[];

export type SamplingSettings = SettingsOf<typeof samplingOptions>;

export function samplingOf({ temperature, topK, topP }: SamplingSettings): SamplingOptions {
  return given({ temperature, topK, topP });
}

/** As the command line has them. */
export function samplingFlags({ temperature, topK, topP }: SamplingSettings): Record<string, number | undefined> {
  return { temperature, "top-k": topK, "top-p": topP };
}

export function integer(min: number): (text: string) => number {
  return (text) => {
    const value = numberIn(text);
    if (!Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`Expected an integer of at least ${min}.`);
    }
    return value;
  };
}

export function number(max: number, { open = false } = {}): (text: string) => number {
  return (text) => {
    const value = numberIn(text);
    const inside = open ? value > 0 && value < max : value >= 0 && value <= max;
    if (!inside) {
      const percent = max === 1 && value > 1 && value <= 100 ? ` Did you mean ${value / 100}?` : "";
      throw new InvalidArgumentError(`Expected a number in ${open ? `(0, ${max})` : `[0, ${max}]`}.${percent}`);
    }
    return value;
  };
}

/** "2,4,6" are depths; one alone is too. */
export function depths(text: string): number[] {
  return text.split(",").map(integer(1));
}

/** "3" is the number of exits; "2,4,6" are depths, and so is "3,". */
export function exits(text: string): number | number[] {
  const parts = text
    .split(",")
    .filter((part) => part !== "")
    .map(integer(1));
  if (parts.length === 0) throw new InvalidArgumentError("Expected a number of exits, or depths such as 2,4,6.");
  return text.includes(",") ? parts : parts[0]!;
}

/** "layers=10000,jsonKeys=1e6" are limits by name. */
export function budgets(text: string): Partial<Budgets> {
  const pairs = text.split(",").map((pair) => pair.split("="));
  const limits = Object.fromEntries(pairs.map(([name, value]) => [name!.trim(), numberIn(value ?? "")]));
  try {
    budgetsWith(limits);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new InvalidArgumentError(`Expected name=limit, separated by commas: ${error.message}.`);
  }
  return limits;
}

function numberIn(text: string): number {
  return text.trim() === "" ? NaN : Number(text);
}

/** Parses the path of a file to write, before any work: in place of a device, a pipe or a link none would be put. */
export function fileToWrite(path: string): string {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || found.isFile()) return path;
  } catch (error) {
    throw new InvalidArgumentError(`cannot be written (${(error as NodeJS.ErrnoException).code}); name a file.`);
  }
  throw new InvalidArgumentError("is a device, a pipe, a link or a folder, which is not replaced; name a file.");
}
