/** Documents on disk: every form of a line, folders, prompts, and what is refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { byteTokenizer } from "../support/byte-tokenizer.js";
import { readDocuments, readPrompts } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";
import { scratch } from "../support/scratch.js";

const folder = scratch();

const template =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}";
const model = { tokenizer: { ...byteTokenizer(), chatTemplate: template } };
const write = (name: string, ...lines: unknown[]) => {
  const path = folder.path(name);
  writeFileSync(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return path;
};
const bytes = (text: string) => [...new TextEncoder().encode(text)];
const END = 256;

describe("readDocuments", () => {
  it("reads text, token ids, prompts with answers, and conversations", async () => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "yes" },
    ];
    const path = write(
      "all.NDJSON",
      { text: "plain" },
      { text: "ab", group: "book" },
      { ids: [1, 2, 3], from: 1 },
      { prompt: [1, 2], answer: [3, 4], group: "chat" },
      { prompt: "q", answer: "xy" },
      { prompt: messages.slice(0, 1), answer: [7, 8] },
      { messages },
    );
    const rendered = bytes("<user>hi<a>");
    expect(await readDocuments(path, model)).toEqual([
      "plain",
      { ids: bytes("ab"), group: "book" },
      { ids: [1, 2, 3], from: 1 },
      { ids: [1, 2, 3], from: 1, group: "chat" },
      { ids: bytes("qxy"), from: 0 }, // the end of the text was chosen last
      { ids: [...rendered, 7], from: rendered.length - 1 },
      { ids: [...rendered, ...bytes("yes")], from: rendered.length - 1 },
    ]);
  });

  it("reads the text files of a folder by name, and nothing else there", async () => {
    mkdirSync(folder.path("texts"));
    write("texts/b.jsonl", { text: "second" });
    write("texts/a.txt", "first", "", "also first");
    write("texts/c.json", "{}");
    expect(await readDocuments(folder.path("texts"), model)).toEqual(["first", "also first", "second"]);
  });

  it("refuses malformed lines by number, and files that hold nothing", async () => {
    const refuses = async (line: unknown, message: RegExp) =>
      await expect(readDocuments(write("bad.jsonl", { text: "a" }, line), model)).rejects.toThrow(message);
    await refuses({ prompt: "a" }, /bad\.jsonl, line 2: expected text, ids/);
    await refuses({ prompt: [1.5], answer: [1] }, /line 2: expected text/);
    await refuses({ text: "a", group: 3 }, /line 2: a group is a string/);
    await refuses({ messages: [{ role: "user", content: "hi" }] }, /line 2: messages to learn from end/);
    for (const messages of [[], [null]]) await refuses({ messages }, /line 2: messages are a list/);
    await refuses({ ids: [1], from: 1 }, /line 2: from is the index/);
    await refuses("{", /line 2/);
    await expectCode(readDocuments(write("none.txt", ""), model), "documents-few");
    await expectCode(readDocuments(write("all.json", {}), model), "json-malformed");
    await expectCode(readDocuments(folder.path("absent"), model), "file-missing");
  });
});

it("readPrompts takes what comes before an answer", async () => {
  const user = { role: "user", content: "hi" };
  const path = write(
    "prompts.jsonl",
    { text: "once" },
    { prompt: [1, 2], answer: [3], group: "g" },
    { messages: [user] },
    { messages: [user, { role: "assistant", content: "yes" }] },
    { ids: [4, 5] },
  );
  const rendered = bytes("<user>hi<a>");
  expect(await readPrompts(path, model)).toEqual([
    { ids: bytes("once") },
    { ids: [1, 2], group: "g" },
    { ids: rendered },
    { ids: rendered },
    { ids: [4, 5] },
  ]);
  expect(model.tokenizer.eosTokenId).toBe(END);
});
