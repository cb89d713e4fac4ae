import { describe, expect, it } from "vitest";
import { listedTokens } from "../../lab/pretrained/index.js";

const answerOf = (prompt: readonly number[], answer: readonly number[]) =>
  ({ group: "g", kind: "k", split: "train", temperature: 0, dtype: "int8", prompt, answer }) as const;

describe("the tokens that previews list", () => {
  it("are the most frequent ones of answers, the end of one included, then of prompts, then the lowest ids", () => {
    const answers = [answerOf([9, 9, 8, 5], [7, 5, 7, 2]), answerOf([9, 1], [5, 7, 2])];
    const lists = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => listedTokens(answers, n, 12));
    expect(lists).toEqual([
      [7],
      [5, 7],
      [2, 5, 7],
      [2, 5, 7, 9],
      [1, 2, 5, 7, 9],
      [1, 2, 5, 7, 8, 9],
      [0, 1, 2, 5, 7, 8, 9],
      [0, 1, 2, 3, 5, 7, 8, 9],
    ]);
  });
});
