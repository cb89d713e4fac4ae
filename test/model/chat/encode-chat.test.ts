/** Conversations as token ids: what templates get, and that only templates write control tokens. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ChatMessage,
  type ChatOptions,
  encodeChat,
  huggingFaceTokenizer,
  type Tokenizer,
} from "early-exits/model";
import { casesHere } from "../../support/cases-here.js";
import { chatMl, chatTokenizer, chatTokenizerJson, controlSpellings, gemma, llama3 } from "./setup.js";

/** The text that the ids show, control tokens included. */
const rendered = async (tokenizer: Tokenizer, messages: readonly ChatMessage[], options: ChatOptions = {}) =>
  tokenizer.decode(await encodeChat(tokenizer, messages, options), { skipSpecialTokens: false });

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });

describe("a conversation", () => {
  it("becomes the template's text, with control tokens as ids", async () => {
    const tokenizer = await chatTokenizer(chatMl);
    const ids = await encodeChat(tokenizer, [user("Hi")]);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
    const [start, end] = ["<|im_start|>", "<|im_end|>"].map((spelling) => tokenizer.specialTokens.get(spelling)!);
    expect(ids.filter((id) => id === start || id === end)).toEqual([start, end, start, end, start]);
    expect(tokenizer.decode(ids)).toBe("system\nBe brief.\nuser\nHi\nassistant\n");
  });

  it("has one begin-of-text token if the template writes it, even if the tokenizer adds one to texts", async () => {
    const tokenizer = await chatTokenizer(llama3, { add_bos_token: true });
    const ids = await encodeChat(tokenizer, [user("Hi")]);
    expect(ids.filter((id) => id === tokenizer.bosTokenId)).toEqual([ids[0]]);
    expect(tokenizer.encode("Hi")[0]).toBe(tokenizer.bosTokenId);
  });

  it("ends where the answer begins, or with the last message", async () => {
    const tokenizer = await chatTokenizer(gemma);
    const turns = "<|begin_of_text|><start_of_turn>user\nHi<end_of_turn>\n";
    expect(await rendered(tokenizer, [user(" Hi ")])).toBe(`${turns}<start_of_turn>model\n`);
    expect(await rendered(tokenizer, [user("Hi")], { addGenerationPrompt: false })).toBe(turns);
  });
});

it("a control token that a key of a tool spells stays text", async () => {
  const tokenizer = await chatTokenizer("{{ tools | tojson }}<|im_end|>");
  const ids = await encodeChat(tokenizer, [user("")], { tools: [{ "<|im_end|>": 1 }] });
  expect(ids.filter((id) => id === tokenizer.specialTokens.get("<|im_end|>"))).toEqual([ids.at(-1)]);
});

/** Contents with control tokens in them: whole, in parts, doubled, inside one another, with private-use characters. */
const fragment = fc.oneof(
  fc.constantFrom(...controlSpellings),
  fc
    .tuple(fc.constantFrom(...controlSpellings), fc.nat(20), fc.nat(20))
    .map(([spelling, a, b]) => spelling.slice(Math.min(a, b), Math.max(a, b))),
  fc.constantFrom("<", "|>", ">", "<|", "\ue000", "\ue001", "\ud800", " ", "\n", "</s>", "é", "🙂", "the answer"),
  fc.string({ maxLength: 4 }),
);
const content = fc.array(fragment, { maxLength: 8 }).map((parts) => parts.join(""));

/** A template that writes contents side by side, and one that puts them right between halves of control tokens. */
const sideBySide = "{% for message in messages %}{{ message.content }}{% endfor %}<|im_end|>";
const embraced = "{% for message in messages %}<{{ message.content }}|>{{ message.content }}>{% endfor %}<|im_end|>";

describe.each([
  ["ChatML", chatMl, false],
  ["Llama 3", llama3, true],
  ["Gemma", gemma, true],
  ["side by side", sideBySide, false],
  ["embraced", embraced, false],
])("in the template %s", (_name, template, trims) => {
  it("a control token spelled out in a content stays text, and nothing else changes", async () => {
    const tokenizer = await chatTokenizer(template);
    const control = new Set(tokenizer.specialTokens.values());
    const controlOf = async (messages: readonly ChatMessage[]) =>
      (await encodeChat(tokenizer, messages)).filter((id) => control.has(id));
    const harmless = await controlOf([user("a"), assistant("b"), user("c")]);
    // The template's own text, by contents that are put in afterwards.
    const around = await rendered(tokenizer, [user("\u0001"), assistant("\u0002"), user("\u0003")]);

    await fc.assert(
      fc.asyncProperty(content, content, content, async (first, answer, second) => {
        const messages = [user(first), assistant(answer), user(second)];
        expect(await controlOf(messages)).toEqual(harmless);
        const expected = around.replace(/[\u0001-\u0003]/g, (place) => {
          const { content: text } = messages[place.charCodeAt(0) - 1]!;
          return (trims ? text.trim() : text).replace(/\p{Surrogate}/gu, "\ufffd");
        });
        expect(await rendered(tokenizer, messages)).toBe(expected);
      }),
      { numRuns: casesHere(150) },
    );
  });
});

describe("spelled-out control tokens", () => {
  it("stay text in tools, documents and further fields too, escaped or compared", async () => {
    const template =
      "{{ tools | tojson(ensure_ascii=true) }}{{ 'é' if tools[0].kind == 'end' }}{{ documents[0].text }}" +
      "{{ messages[0].name }}{{ messages[0].content | tojson }}<|im_end|>";
    const tokenizer = await chatTokenizer(template);
    const ids = await encodeChat(tokenizer, [{ role: "tool", content: "1<|im_end|>", name: "2<|im_end|>" }], {
      tools: [{ description: "3<|im_end|>", kind: "end" }],
      documents: [{ text: "4<|im_end|>" }],
    });
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(
      '[{"description": "3<|im_end|>", "kind": "end"}]é4<|im_end|>2<|im_end|>"1<|im_end|>"<|im_end|>',
    );
    const end = tokenizer.specialTokens.get("<|im_end|>");
    expect(ids.filter((id) => id === end)).toEqual([ids.at(-1)]);
  });

  it("do not change how the text around them is encoded", async () => {
    const tokenizer = await chatTokenizer(chatMl);
    const plain = await encodeChat(tokenizer, [user("the answer")]);
    const spelled = await encodeChat(tokenizer, [user("the answer<|im_end|>")]);
    const end = plain.findLastIndex((id) => id === tokenizer.specialTokens.get("<|im_end|>"));
    expect(spelled.slice(0, end)).toEqual(plain.slice(0, end));
    expect(spelled.slice(-(plain.length - end))).toEqual(plain.slice(end));
  });

  it("are refused where merges make them out of text", async () => {
    const id = chatTokenizerJson.model.vocab["answer"]!;
    const tokenizer = await huggingFaceTokenizer(
      { ...chatTokenizerJson, added_tokens: [{ id, content: "answer", special: true }] },
      { chat_template: "{{ messages[0].content }}" },
    );
    await expect(encodeChat(tokenizer, [user("answer")])).rejects.toMatchObject({ code: "control-token-merged" });
  });
});
