import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { requireUncertified, unusedPrompts } from "../../lab/pretrained/held-prompts.js";

it("prompts that are held out are in no certificate", () => {
  const group = hashOf("a");
  const documents = [{ hash: "0", tokens: 1, group }];
  expect(() => requireUncertified([{ group: "b" }], [{ documents }])).not.toThrow();
  expect(() => requireUncertified([{ group: "b" }, { group: "a" }], [{ documents: [] }, { documents }])).toThrow(
    "1 of 2 held-out prompts are in a certificate, the first with group a",
  );
});

const hashOf = (group: string) => createHash("sha256").update(group).digest("hex");

describe("prompts that were never used", () => {
  const prompts = (
    [
      ["long", "story", "test"],
      ["short", "title", "grid"],
      ["1", "story", "train"],
      ["2", "title", "train"],
      ["kept", "story", "held"],
      ["3", "story", "train"],
      ["4", "title", "train"],
    ] as const
  ).map(([group, kind, split]) => ({ content: "", kind, group, split }));
  const documents = [
    { hash: "0", tokens: 100, group: hashOf("long") },
    { hash: "1", tokens: 10, group: hashOf("short") },
  ];

  it("are the held-out ones, and training prompts well past the answers that taught", () => {
    const groups = [90, 95, 190, 1000].map((taught) =>
      unusedPrompts(prompts, { documents }, taught).map(({ group }) => group),
    );
    expect(groups).toEqual([
      ["2", "kept", "3", "4"], // the second training prompt comes after 100 tokens, over 99
      ["kept", "3", "4"], // the third after 110, over 104.5
      ["kept", "4"], // the fourth after 210, over 209
      ["kept"],
    ]);
  });
});
