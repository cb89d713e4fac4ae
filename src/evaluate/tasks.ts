/**
 * Evaluation tasks, item by item, in the terms of EleutherAI's lm-evaluation-harness.
 *   multiple-choice   the likeliest of several continuations is the answer (ARC, PIQA, HellaSwag, COPA, Winogrande, …)
 *   lambada           predict the last word of a passage
 *   perplexity        every token of whole texts ("rolling")
 * Items are lines of JSON, used as they are: the file's author applies prompt templates, few-shot examples and
 * clean-up.
 */
import { TaskError } from "../errors.js";

export type TaskKind = "multiple-choice" | "lambada" | "perplexity";
export const taskKinds = ["multiple-choice", "lambada", "perplexity"] as const satisfies readonly TaskKind[];

export interface AnswerChoice {
  readonly context: string;
  readonly continuation: string;
}

export type TaskItem =
  | {
      readonly kind: "multiple-choice";
      readonly choices: readonly AnswerChoice[];
      readonly gold: number;
    }
  | { readonly kind: "lambada"; readonly context: string; readonly continuation: string }
  | { readonly kind: "perplexity"; readonly text: string };

/** The accepted forms of a line, by kind, for error messages. */
const SHAPES: Readonly<Record<TaskKind, string>> = {
  "multiple-choice":
    '{"query", "choices", "gold"}, {"ctx", "endings", "label"}, or {"context_options", "continuation", "gold"}',
  lambada: '{"context", "continuation"}, or {"text"} whose last word is predicted',
  perplexity: '{"text"}',
};

/** Throws a TaskError that says what is wrong with the line; `line` counts from 1. */
export function parseTaskLine(json: string, line: number, kind: TaskKind): TaskItem {
  let fields: unknown;
  try {
    fields = JSON.parse(json);
  } catch (error) {
    throw new TaskError(
      "task-json",
      `task, line ${line}: it is not valid JSON (${(error as Error).message}); expected ${SHAPES[kind]}`,
      { line },
      { cause: error },
    );
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw lineError(line, kind, `found ${describe(fields)} instead of an object`);
  }
  const at: LineFields = { fields: fields as Readonly<Record<string, unknown>>, line, kind };
  switch (kind) {
    case "multiple-choice":
      return { kind, ...readChoices(at) };
    case "lambada":
      return { kind, ...readLastWord(at) };
    case "perplexity":
      return { kind, text: text(at, "text") };
    default:
      return kind satisfies never;
  }
}

interface LineFields {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly line: number;
  readonly kind: TaskKind;
}

function readChoices(at: LineFields): { choices: AnswerChoice[]; gold: number } {
  if ("context_options" in at.fields) {
    const continuation = text(at, "continuation");
    const choices = texts(at, "context_options").map((context) => ({ context, continuation }));
    return { choices, gold: index(at, "gold", choices.length) };
  }
  const names =
    "endings" in at.fields
      ? { context: "ctx", choices: "endings", gold: "label" }
      : { context: "query", choices: "choices", gold: "gold" };
  const context = text(at, names.context, { empty: true });
  const choices = texts(at, names.choices).map((continuation) => ({ context, continuation }));
  return { choices, gold: index(at, names.gold, choices.length) };
}

function readLastWord(at: LineFields): AnswerChoice {
  if ("continuation" in at.fields) return { context: text(at, "context"), continuation: text(at, "continuation") };
  const whole = text(at, "text").trimEnd();
  const cut = whole.lastIndexOf(" ");
  if (cut <= 0) throw lineError(at.line, at.kind, `"text" is ${describe(whole)}, which has no word before its last`);
  return { context: whole.slice(0, cut), continuation: whole.slice(cut + 1) };
}

function text({ fields, line, kind }: LineFields, name: string, { empty = false } = {}): string {
  const value = fields[name];
  if (typeof value !== "string") throw lineError(line, kind, `"${name}" is ${describe(value)}, not a string`);
  if (!empty && value.trim() === "") throw lineError(line, kind, `"${name}" is empty`);
  return value;
}

function texts({ fields, line, kind }: LineFields, name: string): string[] {
  const list = fields[name];
  if (!Array.isArray(list) || list.length < 2) {
    const found = Array.isArray(list) ? `a list of ${list.length}` : describe(list);
    throw lineError(line, kind, `"${name}" is ${found}, not a list of at least two strings`);
  }
  list.forEach((value: unknown, i) => {
    if (typeof value !== "string") throw lineError(line, kind, `"${name}"[${i}] is ${describe(value)}, not a string`);
    if (value.trim() === "") throw lineError(line, kind, `"${name}"[${i}] is empty`);
  });
  return list as string[];
}

/** HellaSwag writes an index as a string. */
function index({ fields, line, kind }: LineFields, name: string, length: number): number {
  const value = typeof fields[name] === "string" && /^\d+$/.test(fields[name]) ? Number(fields[name]) : fields[name];
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= length) {
    throw lineError(line, kind, `"${name}" is ${describe(fields[name])}, not an integer in [0, ${length})`);
  }
  return value as number;
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  const json = JSON.stringify(value);
  return json.length <= 40 ? json : `${json.slice(0, 40)}…`;
}

function lineError(line: number, kind: TaskKind, found: string): TaskError {
  return new TaskError("task-line", `task, line ${line}: ${found}; a line of a ${kind} task is ${SHAPES[kind]}`, {
    line,
    kind,
  });
}
