/** Everyday prompts: legal conversations, and nothing that judges is among what certifies. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { unpackAnswers } from "../../lab/pretrained/answers.js";
import { answersFile, everydayPrompts } from "../../lab/pretrained/everyday/prompts.js";

interface Prompt {
  readonly kind: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

const linesOf = (name: string) => readFileSync(`lab/pretrained/everyday/${name}.jsonl`, "utf8").trim().split("\n");
const certify = linesOf("certify");
const held = linesOf("held");
const promptsOf = (lines: readonly string[]) => lines.map((line) => JSON.parse(line) as Prompt);
const spoken = ({ messages }: Prompt) =>
  messages
    .filter(({ role }) => role !== "system")
    .map(({ content }) => content)
    .join("\n")
    .toLowerCase();

it("conversations take turns and end with the user", () => {
  for (const { messages } of promptsOf([...certify, ...held])) {
    const roles = messages.map(({ role }) => role).join(" ");
    expect(roles).toMatch(/^(system )?user( assistant user)*$/);
    expect(messages.every(({ content }) => content.trim() !== "")).toBe(true);
  }
});

it("there are enough of every kind, in the order of their hashes, and none twice", () => {
  expect(certify.length).toBeGreaterThanOrEqual(1_500);
  expect(held.length).toBeGreaterThanOrEqual(150);
  const hashOf = (line: string) => createHash("sha256").update(line).digest("hex");
  for (const lines of [certify, held]) {
    expect(lines.map(hashOf)).toEqual(lines.map(hashOf).sort());
    const kinds = promptsOf(lines).map(({ kind }) => kind);
    for (const kind of new Set(kinds)) {
      expect(kinds.filter((other) => other === kind).length / kinds.length).toBeGreaterThan(0.05);
    }
  }
  const texts = promptsOf([...certify, ...held]).map(spoken);
  expect(new Set(texts).size).toBe(texts.length);
});

it("no held-out prompt shares eight words in a row with one that certifies, system prompts apart", () => {
  const passagesOf = (prompt: Prompt) => {
    const words = spoken(prompt).match(/[\p{L}\p{N}]+/gu) ?? [];
    return words.slice(7).map((_, i) => words.slice(i, i + 8).join(" "));
  };
  const known = new Set(promptsOf(certify).flatMap(passagesOf));
  const shared = promptsOf(held)
    .flatMap(passagesOf)
    .filter((passage) => known.has(passage));
  expect(shared).toEqual([]);
});

it("every prompt has an answer of 1 to 144 tokens", async () => {
  const answers = await unpackAnswers(answersFile("int8"));
  const lengths = (await everydayPrompts()).map(({ group }) => answers.get(group)?.length ?? 0);
  expect(lengths).toHaveLength(answers.size);
  expect(lengths.filter((length) => !(length >= 1 && length <= 144))).toEqual([]);
});
