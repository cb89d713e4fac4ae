/** The laws read as a text. */
import { expect, it } from "vitest";
import { explainedLines, explainLaws } from "../../../lab/laws/explain.js";

it("every file of laws says what it is about, and its titles are sentences under what they have in common", () => {
  const files = explainLaws("test/laws");
  expect(files.map(({ file }) => file)).toContain("validity.test.ts");
  for (const { file, about } of files) expect(about, file).toMatch(/^\S[\s\S]*[.?]$/);
  const text = explainedLines(files).join("\n");
  expect(text).toContain("  - what must fail does fail\n    - ");
  expect(text).toContain("- leaves every key, value and state as in a fresh pass, after every round");
});
