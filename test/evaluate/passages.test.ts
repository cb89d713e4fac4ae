/**
 * Text as tokens to be scored, by the rules of lm-evaluation-harness: with a tokenizer whose ids are bytes, and with
 * one that has a begin-of-text token.
 */
import { between, test } from "../support/property.js";
import type { Model } from "early-exits";
import { huggingFaceTokenizer } from "early-exits/model";
import { readJson } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { passageEncoder, rollingWindows } from "../../src/evaluate/run-task.js";
import { byteConfig, smallByteModel, smallModel } from "../support/models.js";
import { times } from "../support/lists.js";

const model = await smallByteModel();
const START = 256; // <|endoftext|>
const bytes = (text: string) => Array.from(new TextEncoder().encode(text));
const lambada = (
  of: Model,
  context: string,
  continuation: string,
  options: { maxLength?: number; addSpecialTokens?: boolean } = {},
) =>
  passageEncoder(of, { maxLength: 96, addSpecialTokens: true, ...options })(
    { kind: "lambada", context, continuation },
    7,
  );

describe("a context and a continuation", () => {
  it.each([
    ["are joined by a space", "ab", "cd", bytes("ab"), bytes(" cd")],
    ["get no second space", "ab", "\ncd", bytes("ab"), bytes("\ncd")],
    ["score the white space that ends a context", "ab: \n", "cd", bytes("ab:"), bytes(" \n cd")],
    ["begin with begin-of-text if the context is empty", " ", "cd", [START], bytes("  cd")],
  ])("%s", (_, before, after, context, continuation) =>
    expect(lambada(model, before, after)).toEqual({ passages: [{ context, continuation }], truncated: 0 }),
  );

  it("lose the beginning of the context if they are too long, never the continuation", () => {
    // At most 5 tokens are inputs, and the last one is only predicted: 6 in all.
    for (const [before, after, kept, truncated] of [
      ["abcdef", "xy", "def", 1],
      ["abc", "xy", "abc", 0],
      ["abcdef", "wxyz", "f", 1],
    ] as const) {
      const passages = [{ context: bytes(kept), continuation: bytes(` ${after}`) }];
      expect(lambada(model, before, after, { maxLength: 5 })).toEqual({ passages, truncated });
    }
    expect(() => lambada(model, "abcdef", "vwxyz", { maxLength: 5 })).toThrow(
      expect.objectContaining({ code: "task-length", details: { item: 7, tokens: 6, limit: 5 } }) as Error,
    );
  });

  it("begin as the tokenizer's configuration says, unless told otherwise", async () => {
    const file = (await readJson("models/sotu-6/tokenizer.json")) as object;
    const tokenizer = await huggingFaceTokenizer(file, { add_bos_token: true, bos_token: "<|endoftext|>" });
    const begins = await smallModel({ config: { ...byteConfig, vocab_size: 1024 }, tokenizer });
    const [first, ...rest] = lambada(begins, "The Congress", "met").passages[0]!.context;
    expect(first).toBe(tokenizer.bosTokenId);
    expect(lambada(begins, "The Congress", "met", { addSpecialTokens: false }).passages[0]!.context).toEqual(rest);
    expect(tokenizer.decode(rest)).toBe("The Congress");
  });

  it("of choices share their context", () => {
    const { passages } = passageEncoder(model, { maxLength: 96, addSpecialTokens: true })(
      {
        kind: "multiple-choice",
        choices: [
          { context: "a", continuation: "b" },
          { context: "a", continuation: "cd" },
        ],
        gold: 0,
      },
      1,
    );
    expect(passages).toEqual([
      { context: bytes("a"), continuation: bytes(" b") },
      { context: bytes("a"), continuation: bytes(" cd") },
    ]);
  });
});

describe("windows of a text", () => {
  it("are those of the harness: disjoint, the last one with as much context as fits", () => {
    expect(rollingWindows([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 99, 4)).toEqual([
      { context: [99], continuation: [0, 1, 2, 3] },
      { context: [3], continuation: [4, 5, 6, 7] },
      { context: [5, 6, 7], continuation: [8, 9] },
    ]);
    expect(rollingWindows([0, 1], 99, 4)).toEqual([{ context: [99], continuation: [0, 1] }]);
  });

  test.prop([between(1, 40), between(1, 12)])(
    "score every token once, after its real predecessors, within the limit",
    (length, limit) => {
      const ids = times(length, (i) => i);
      const windows = rollingWindows(ids, -1, limit);
      expect(windows.flatMap(({ continuation }) => continuation)).toEqual(ids);
      for (const { context, continuation } of windows) {
        expect(context.length).toBeGreaterThan(0);
        expect(context.length + continuation.length - 1).toBeLessThanOrEqual(limit);
        [...context, ...continuation].forEach((id, i, all) => i > 0 && expect(id).toBe(all[i - 1]! + 1));
      }
    },
  );
});
