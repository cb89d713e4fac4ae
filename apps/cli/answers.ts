/** Claims about answers: losses by name or as modules, and prompts with what is expected, as lines of JSON. */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InvalidArgumentError } from "commander";
import { EarlyExitError } from "early-exits";
import type { AnswerLoss, AnswerTask, CalibrateAnswersOptions } from "early-exits/calibrate";
import { readBytes } from "early-exits/node";

const answerLosses = ["changed", "rougeL", "accuracy", "worse"] as const;
export const tokenLosses = { token: "token", "any-change": "anyChange" } as const;

/** Of answers, by name or as a module. */
export function isOfAnswers(loss: string): boolean {
  return !Object.hasOwn(tokenLosses, loss);
}

/** The name of a loss, or the path of a module. */
export function lossName(text: string): string {
  const names = [...Object.keys(tokenLosses), ...answerLosses];
  if (names.includes(text) || /\.[cm]?[jt]s$/.test(text)) return text;
  throw new InvalidArgumentError(`Expected one of ${names.join(", ")}, or the path of a module, as in ./my-loss.mjs.`);
}

/**
 * The loss, and of a module the hash that names it: that of its own text, not of what it imports. Throws an
 * EarlyExitError for a module that does not load, or whose default export is no function.
 */
export async function openLoss(name: string): Promise<Pick<CalibrateAnswersOptions, "loss" | "lossHash">> {
  const known = answerLosses.find((one) => one === name);
  if (known !== undefined) return { loss: known };
  let found = "its default export is no function";
  let cause: unknown;
  try {
    const lossHash = createHash("sha256")
      .update(await readBytes(name))
      .digest("hex");
    const module = (await import(pathToFileURL(resolve(name)).href)) as { readonly default?: unknown };
    if (typeof module.default === "function") return { loss: module.default as AnswerLoss, lossHash };
  } catch (error) {
    cause = error;
    found = `it does not load (${String(error)})`;
  }
  throw new EarlyExitError(
    "loss-module",
    `--loss ${name}: ${found}; give a module whose default export is (full, policy, task) => a number in [0, 1]`,
    { path: name },
    { cause },
  );
}

/**
 * Reads prompts: { "prompt" or "messages", "expected", "group" } on each line, expected being a text, a list of
 * alternatives, { "pattern", "flags" } of a regular expression, or { "choices", "answer" }. Throws an EarlyExitError
 * that names a line that is no such object. A string of Node has room for twice as many bytes.
 */
export async function readTasks(path: string): Promise<AnswerTask[]> {
  const tasks = new TextDecoder()
    .decode(await readBytes(path, 2 ** 28))
    .split("\n")
    .flatMap((line, i) => (line.trim() === "" ? [] : [taskIn(line, `${path}, line ${i + 1}`)]));
  if (tasks.length > 0) return tasks;
  throw new EarlyExitError("documents-few", `${path}: holds no prompts`, { path });
}

function taskIn(line: string, where: string): AnswerTask {
  let found = "it has no prompt";
  try {
    const { messages, prompt = messages, expected, group } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    const { pattern, flags } = Object(expected) as { readonly pattern?: string; readonly flags?: string };
    const expectation = pattern === undefined ? expected : new RegExp(pattern, flags);
    if (prompt !== undefined) return { prompt, expected: expectation, group } as AnswerTask;
  } catch (error) {
    found = (error as Error).message;
  }
  throw new EarlyExitError(
    "json-malformed",
    `${where}: ${found}; a line is {"prompt": "…" or [messages], "expected": "…", "group": "…"}`,
    { where },
  );
}
