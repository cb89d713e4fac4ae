/**
 * Losses of answers, of which the full model and a policy gave one each to the same prompt. Equal answers lose nothing.
 *   changed    1 if any token differs
 *   rougeL     1 - F1 of the longest common subsequence of words, P and R its shares of the policy's and the full
 *              model's words (Lin 2004). Words are [a-z0-9]+ in lower case, as rouge-score has them without stemming;
 *              other letters part words, so answers in other scripts lose 1 unless they are equal
 *   accuracy   right(full) - right(policy), in [-1, 1]: its mean is the accuracy lost
 *   worse      1 if the full model is right and the policy is not
 *   own        a function with values in [0, 1]
 * An answer is right if it holds the words expected, in their order and next to each other, whatever their case; if it
 * matches the regular expression; or if the first of the choices that it holds, as it is written, is the right one.
 */
import { OptionError } from "../../../errors.js";
import type { AnswerLossName, answerLosses } from "../../../exits/plan/policy.js";
import type { FinishReason, Prompt } from "../../../model/index.js";
import { sha256 } from "../../../model/sha256.js";
import { shown } from "../../../shown.js";

export interface Answer {
  readonly text: string;
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
}

/** The criterion of a right answer: words, one of several alternatives, a match, or the right one of some choices. */
export type Expected =
  string | readonly string[] | RegExp | { readonly choices: readonly string[]; readonly answer: string };

/** A prompt to be answered, as `generate` takes it; a conversation is rendered by the model's chat template. */
export interface AnswerTask {
  readonly prompt: Prompt;
  /** Needed by the losses accuracy and worse. */
  readonly expected?: Expected;
  /** Source, author or user: prompts of one group may depend on each other in any way. */
  readonly group?: string;
}

/** A loss of your own: a number in [0, 1], of answers that differ. */
export type AnswerLoss = (full: Answer, policy: Answer, task: AnswerTask) => number | Promise<number>;

type NamedLoss = (typeof answerLosses)[number];

export interface AnswerJudge {
  readonly loss: AnswerLossName;
  /** Its name, or the hash of a loss of one's own. */
  readonly definition: string;
  /** The loss of prompt number `index`, in [-1, 1] for accuracy, in [0, 1] for all others. */
  lossOf(full: Answer, policy: Answer, task: AnswerTask, index: number): Promise<number>;
}

export interface AnswerLossOptions {
  /**
   * The loss of a prompt, from the two answers to it. A function's values are in [0, 1]; it is asked where they differ.
   */
  readonly loss: NamedLoss | AnswerLoss;
  /** Name of a function in certificates, such as the SHA-256 of its module. @default the SHA-256 of its text */
  readonly lossHash?: string;
  /** Milliseconds for a function and one prompt. A loop that never waits cannot be stopped. @default 60,000 */
  readonly lossTimeout?: number;
}

export async function answerJudge(options: AnswerLossOptions): Promise<AnswerJudge> {
  const { loss, lossHash, lossTimeout = 60_000 } = options;
  if (lossHash !== undefined && !/^[0-9a-f]{64}$/.test(lossHash)) {
    throw new OptionError(
      "loss-hash",
      `calibrate: lossHash: expected a SHA-256 in hexadecimal, found ${shown(lossHash)}`,
    );
  }
  const isOwn = typeof loss === "function";
  const [definition, of] = isOwn ? [lossHash ?? (await sha256(loss.toString())), loss] : losses[loss];
  return {
    loss: isOwn ? "own" : loss,
    definition,
    async lossOf(full, policy, task, index) {
      if (full.ids.join() === policy.ids.join()) return 0;
      const value: unknown = await within(lossTimeout, index, () => of(full, policy, task));
      if (!isOwn) return value as number;
      if (typeof value === "number" && value >= 0 && value <= 1) return value;
      throw promptError("loss-range", index, `has the loss ${shown(value)}; expected a number in [0, 1]`);
    },
  };
}

/** Each loss as certificates define it (of an own one, its hash), and its value for two answers that differ. */
const losses: Readonly<Record<NamedLoss, readonly [definition: string, of: AnswerLoss]>> = {
  changed: ["1 if any token differs", () => 1],
  rougeL: [
    "1 - ROUGE-L F1 of the words [a-z0-9]+ in lower case, without stemming; 0 if no token differs",
    (full, policy) => 1 - rougeL(full.text, policy.text),
  ],
  accuracy: [
    "right(full) - right(policy), as the expected answers say",
    (full, policy, { expected }) => Number(isRight(full.text, expected!)) - Number(isRight(policy.text, expected!)),
  ],
  worse: [
    "1 if the full model is right and the policy is not, as the expected answers say",
    (full, policy, { expected }) => Number(isRight(full.text, expected!) && !isRight(policy.text, expected!)),
  ],
};

export function rougeL(reference: string, candidate: string): number {
  const [right, found] = [reference, candidate].map((text) => text.toLowerCase().match(/[a-z0-9]+/g) ?? []);
  const common = commonSubsequence(right!, found!);
  return common === 0 ? 0 : (2 * common) / (right!.length + found!.length);
}

/** The length of the longest one. */
function commonSubsequence(a: readonly string[], b: readonly string[]): number {
  let row = new Uint32Array(b.length + 1);
  for (const word of a) {
    const next = new Uint32Array(b.length + 1);
    for (let j = 0; j < b.length; j++) next[j + 1] = word === b[j] ? row[j]! + 1 : Math.max(row[j + 1]!, next[j]!);
    row = next;
  }
  return row[b.length]!;
}

export function isRight(answer: string, expected: Expected): boolean {
  if (expected instanceof RegExp) return answer.search(expected) >= 0;
  if (typeof expected === "object" && "choices" in expected) {
    return firstChoice(answer, expected.choices) === expected.answer;
  }
  const alternatives = typeof expected === "string" ? [expected] : expected;
  const words = spacedWords(answer);
  return alternatives.some((one) => words.includes(spacedWords(one)));
}

/** Words in lower case, with a space on both sides of each; one space if there are none. */
function spacedWords(text: string): string {
  const words =
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  return ` ${words.map((word) => `${word} `).join("")}`;
}

/** The choice that begins first, the longest of those. */
function firstChoice(answer: string, choices: readonly string[]): string | undefined {
  const places = choices
    .map((choice) => {
      const literal = choice.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
      return { choice, at: answer.search(new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "u")) };
    })
    .filter(({ at }) => at >= 0);
  places.sort((a, b) => a.at - b.at || b.choice.length - a.choice.length);
  return places[0]?.choice;
}

/** SHA-256 of what is expected of all answers, in the order of the prompts. */
export async function hashExpected(tasks: readonly AnswerTask[]): Promise<string> {
  return sha256(
    JSON.stringify(tasks.map(({ expected }) => (expected instanceof RegExp ? String(expected) : expected))),
  );
}

/** Throws an OptionError for what is neither words, nor a regular expression, nor choices with the right one. */
export function checkExpected(expected: unknown, index: number): void {
  const isText = (value: unknown) => typeof value === "string" && spacedWords(value) !== " ";
  const { choices, answer } = Object(expected) as { readonly choices?: unknown; readonly answer?: unknown };
  const legal =
    expected instanceof RegExp ||
    isText(expected) ||
    (Array.isArray(expected) && expected.length > 0 && expected.every(isText)) ||
    (Array.isArray(choices) &&
      choices.every((one) => typeof one === "string" && one !== "") &&
      choices.includes(answer));
  if (legal) return;
  const [code, found] =
    expected === undefined ? ["expected-missing", "nothing"] : ["expected-malformed", shown(expected)];
  const form = "give a text with letters or digits, a list of such, a regular expression, or { choices, answer }";
  throw promptError(code, index, `has ${found} as expected answer; ${form}`);
}

/** Throws an OptionError if a loss throws, or takes too long. */
async function within(timeout: number, index: number, call: () => unknown): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(
        promptError("loss-timeout", index, `has no loss after ${timeout} ms; wait longer (lossTimeout), or mend it`),
      );
    }, timeout);
  });
  const asked = Promise.resolve()
    .then(call)
    .catch((error: unknown) => {
      throw promptError("loss-failed", index, `makes its loss throw: ${String(error)}`, error);
    });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Names the prompt. */
export function promptError(code: string, index: number, what: string, cause?: unknown): OptionError {
  return new OptionError(code, `calibrate: prompt ${index} ${what}`, { document: index }, { cause });
}
