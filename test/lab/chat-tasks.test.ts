import { describe, expect, it } from "vitest";
import { letterTask, wordTasks } from "../../lab/kept/chat-tasks.js";

describe("a sentence with a word", () => {
  it("takes distinct words of letters, in their order", () => {
    const prompts = wordTasks([" Sea", "it's", "sea", "of", "moon"]).map(({ prompt }) => prompt);
    expect(prompts).toEqual(['Write a sentence with the word "sea".', 'Write a sentence with the word "moon".']);
  });

  it.each([
    ["The Moon pulls at night.", true],
    ["Moons pull at night.", false],
    ["In the moonlight.", false],
    ["", false],
  ])("%j: %s", (answer, right) => expect(wordTasks(["moon"])[0]!.isRight(answer)).toBe(right));
});

describe("a question with letters", () => {
  const task = letterTask({ query: "Question: What is wet?", choices: ["fire", "water"], gold: 1 });

  it("lists its choices", () => expect(task.prompt).toBe("What is wet?\nA. fire\nB. water\nAnswer with the letter."));

  it.each([
    ["B", true],
    ["B. water", true],
    ["(B) because A. is hot", true],
    ["The right answer is B.", true],
    ["A. fire", false],
    ["Both are wet", false],
    ["water", false],
  ])("%j: %s", (answer, right) => expect(task.isRight(answer)).toBe(right));
});
