import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { requireUncertified, unusedPrompts } from "../../lab/pretrained/held-prompts.js";
import type { ChatPrompt, PromptSplit } from "../../lab/pretrained/prompts.js";

it("prompts that are held out are in no certificate", () => {
  const group = hashOf("a");
  const documents = [{ hash: "0", tokens: 1, group }];
  expect(() => requireUncertified([{ group: "b" }], [{ documents }])).not.toThrow();
  expect(() => requireUncertified([{ group: "b" }, { group: "a" }], [{ documents: [] }, { documents }])).toThrow(
    "1 of 2 held-out prompts are in a certificate, the first with group a",
  );
});

const hashOf = (group: string): string => createHash("sha256").update(group).digest("hex");

describe("prompts that were never used", () => {
  const promptOf = (group: string, kind: string, split: PromptSplit): ChatPrompt => ({
    content: "",
    kind,
    group,
    split,
  });
  const prompts = [
    promptOf("long", "story", "test"),
    promptOf("short", "title", "grid"),
    promptOf("1", "story", "train"),
    promptOf("2", "title", "train"),
    promptOf("kept", "story", "held"),
    promptOf("3", "story", "train"),
    promptOf("4", "title", "train"),
  ];
  const documents = [
    { hash: "0", tokens: 100, group: hashOf("long") },
    { hash: "1", tokens: 10, group: hashOf("short") },
  ];

  it("are the held-out ones, and training prompts well past the answers that taught", () => {
    const groups = (taught: number): string[] =>
      unusedPrompts(prompts, { documents }, taught).map(({ group }) => group);
    expect(groups(90)).toEqual(["2", "kept", "3", "4"]); // the second training prompt comes after 100 tokens, over 99
    expect(groups(95)).toEqual(["kept", "3", "4"]); // the third after 110, over 104.5
    expect(groups(190)).toEqual(["kept", "4"]); // the fourth after 210, over 209
    expect(groups(1000)).toEqual(["kept"]);
  });
});
