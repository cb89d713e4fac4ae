/** Lines of tasks: the forms that public files have, and errors that name the line, the finding and the remedy. */
import type { TaskKind } from "early-exits/evaluate";
import { parseTaskLine } from "../../src/evaluate/tasks.js";
import { describe, expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";

const parse = (fields: unknown, kind: TaskKind, line = 1) => parseTaskLine(JSON.stringify(fields), line, kind);
const choices = (context: string, ...continuations: string[]) =>
  continuations.map((continuation) => ({ context, continuation }));

const signs = { context: "I don't care about", continuation: "signs" };

it.each<[string, TaskKind, object, object]>([
  [
    "query, choices, gold",
    "multiple-choice",
    { query: "Predators eat", choices: ["lions", "bunnies"], gold: 1 },
    { choices: choices("Predators eat", "lions", "bunnies"), gold: 1 },
  ],
  [
    "an empty query",
    "multiple-choice",
    { query: "", choices: ["a", "b"], gold: 0 },
    { choices: choices("", "a", "b"), gold: 0 },
  ],
  [
    "HellaSwag's, with its label as a string",
    "multiple-choice",
    { ctx: "She", endings: ["runs.", "sits."], label: "1", ind: 7 },
    { choices: choices("She", "runs.", "sits."), gold: 1 },
  ],
  [
    "Winogrande's: several contexts, one continuation",
    "multiple-choice",
    { context_options: ["so Sarah", "so Maria"], continuation: "left.", gold: 0 },
    {
      choices: [...choices("so Sarah", "left."), ...choices("so Maria", "left.")],
      gold: 0,
    },
  ],
  ["context and continuation", "lambada", signs, signs],
  ["the last word of a text", "lambada", { text: "I don't care about signs\n" }, signs],
  ["a text", "perplexity", { text: "Once upon a time" }, { text: "Once upon a time" }],
])("lines %s", (_, kind, fields, item) => expect(parse(fields, kind)).toEqual({ kind, ...item }));

describe("a line is rejected for", () => {
  it.each<[string, TaskKind, unknown, string]>([
    [
      "an empty choice",
      "multiple-choice",
      { query: "q", choices: ["a", " ", "c"], gold: 0 },
      'task, line 12: "choices"[1] is empty; a line of a multiple-choice task is {"query", "choices", "gold"}',
    ],
    [
      "no choices",
      "multiple-choice",
      { query: "q", choices: [], gold: 0 },
      '"choices" is a list of 0, not a list of at least two strings',
    ],
    [
      "a choice that is not a string",
      "multiple-choice",
      { query: "q", choices: ["a", 2], gold: 0 },
      '"choices"[1] is 2, not a string',
    ],
    [
      "a gold index out of range",
      "multiple-choice",
      { query: "q", choices: ["a", "b"], gold: 2 },
      '"gold" is 2, not an integer in [0, 2)',
    ],
    ["no gold", "multiple-choice", { query: "q", choices: ["a", "b"] }, '"gold" is missing, not an integer in [0, 2)'],
    ["one word", "lambada", { text: "signs" }, '"text" is "signs", which has no word before its last'],
    ["an empty text", "perplexity", { text: "\n" }, '"text" is empty; a line of a perplexity task is {"text"}'],
    ["a list", "perplexity", ["text"], 'found ["text"] instead of an object'],
  ])("%s", (_, kind, fields, message) =>
    expect(() => parse(fields, kind, 12)).toThrow(
      expect.objectContaining({
        name: "TaskError",
        code: "task-line",
        details: { line: 12, kind },
        message: expect.stringContaining(message) as string,
      }) as Error,
    ),
  );

  it("text that is not JSON", () =>
    expectCode(
      () => parseTaskLine('{"text": ', 3, "perplexity"),
      "task-json",
      /^task, line 3: it is not valid JSON .*expected \{"text"\}$/,
    ));
});
