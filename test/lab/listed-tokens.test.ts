import { expect, it } from "vitest";
import { listedTokens } from "../../lab/pretrained/deploy.js";

it("lists the most frequent tokens of answers, their ends included, then of prompts, then the lowest ids", () => {
  const answers = [
    [7, 5, 7, 2],
    [5, 7, 2],
  ];
  const prompts = [
    [9, 9, 8, 5],
    [9, 1],
  ];
  const lists = [1, 3, 4, 5, 8].map((n) => listedTokens(answers, prompts, n, 12));
  expect(lists).toEqual([[7], [2, 5, 7], [2, 5, 7, 9], [1, 2, 5, 7, 9], [0, 1, 2, 3, 5, 7, 8, 9]]);
});
