/** Templates: what they get, which one is used, and what is said when one fails. */
import { describe, expect, it } from "vitest";
import type { ChatMessage } from "early-exits/model";
import { renderChat } from "../../../src/model/chat/render-chat.js";
import { requireChatTemplate } from "../../../src/model/chat/encode-chat.js";
import { chatMl, chatTokenizer, gemma, llama3 } from "./setup.js";
import { expectCode } from "../../support/expect-code.js";
import { times } from "../../support/lists.js";

const hi: readonly ChatMessage[] = [{ role: "user", content: "Hi" }];
const date = new Date(2024, 6, 6, 15, 4, 5);

describe("a template", () => {
  it("has its blocks trimmed as transformers does", async () =>
    expect(await renderChat("a\n  {% if true %}\nb\n  {% endif %}\nc", hi)).toBe("a\nb\nc"));

  it("sees special tokens, tools, documents and variables; tools and documents are none if not given", async () => {
    const template =
      "{{ bos_token }}{{ eos_token }}{{ tools is not none }}{{ documents is not none }}{{ enable_thinking }}" +
      "{{ add_generation_prompt }}";
    expect(await renderChat(template, hi)).toBe("falsefalsetrue");
    expect(
      await renderChat(template, hi, {
        bosToken: "<s>",
        eosToken: "</s>",
        tools: [{}],
        documents: [],
        addGenerationPrompt: false,
        variables: { enable_thinking: 1 },
      }),
    ).toBe("<s></s>truetrue1false");
  });

  it("sees the date that is passed, in English, and no clock otherwise", async () => {
    const ask = '{{ strftime_now("%A %d %B %Y, %a %b %y %m %H %I %M %S %p %% %Q") if strftime_now is defined }}';
    expect(await renderChat(ask, hi)).toBe("");
    expect(await renderChat(ask, hi, { date })).toBe("Saturday 06 July 2024, Sat Jul 24 07 15 03 04 05 PM % %Q");
    expect(await renderChat(llama3, hi, { date, bosToken: "" })).toContain("06 Jul 2024<|eot_id|>");
  });

  it("is chosen by name: with tools the one for tools, otherwise the default, unless another is given", async () => {
    const templates = { default: "D", tool_use: "T", rag: "R" };
    expect(await renderChat(templates, hi)).toBe("D");
    expect(await renderChat(templates, hi, { tools: [{}] })).toBe("T");
    expect(await renderChat({ default: "D" }, hi, { tools: [{}] })).toBe("D");
    expect(await renderChat(templates, hi, { template: "rag" })).toBe("R");
    expect(await renderChat(templates, hi, { template: "{{ 1 + 1 }}" })).toBe("2");
    expect(await renderChat("D", hi, { template: "mine" })).toBe("mine");
    await expectCode(renderChat({ rag: "R" }, hi), "template-name");
  });

  it.each([chatMl, llama3, gemma])("renders a conversation of 2,000 messages", async (template) => {
    const long = times(2_000, (i) => ({
      role: i % 2 === 0 ? ("user" as const) : ("assistant" as const),
      content: `message ${i}`,
    }));
    expect(await renderChat(template, long, { bosToken: "", date })).toContain("message 1999");
  });

  const doubling = (start: string, join: string) =>
    `{% set n = namespace(x=${start}) %}{% for i in range(60) %}{% set n.x = n.x ${join} n.x %}{% endfor %}`;
  it.each([
    ["refuses a conversation", "template-refused", gemma, "Conversation roles must alternate user/assistant"],
    ["cannot be parsed", "template-syntax", "{% if %}", ""],
    ["has a filter that does not exist", "template-failed", "{{ messages | nonsense }}", "nonsense"],
    ["asks for no date", "template-failed", "{{ strftime_now('%Y') }}", "it uses strftime_now: pass a date"],
    ["makes a long list at once", "template-failed", "{{ range(1000000000) | length }}", ""],
    ["walks a long list", "template-failed", "{% for i in range(10 ** 9) %}{% endfor %}", ""],
    [
      "has loops inside loops",
      "template-failed",
      "{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}",
      "steps",
    ],
    ["doubles a text", "template-failed", doubling("'abcd'", "~"), "a text of more than"],
    ["doubles a list", "template-failed", doubling("[1, 2]", "+"), "a list of more than"],
  ])("that %s is a typed error: %s", async (_, code, template, says) => {
    const rendered = renderChat(template, [...hi, ...hi]);
    await expectCode(rendered, code, says);
    await expect(rendered).rejects.toHaveProperty("name", "TemplateError");
  });
});

describe("where templates come from", () => {
  it("tokenizer_config.json has one, or a list with names", async () => {
    expect((await chatTokenizer("T")).chatTemplate).toBe("T");
    expect((await chatTokenizer([{ name: "default", template: "D" }])).chatTemplate).toEqual({ default: "D" });
    expect((await chatTokenizer(undefined)).chatTemplate).toBeUndefined();
    await expectCode(chatTokenizer([{ name: "default" }]), "tokenizer-malformed");
  });

  it("a tokenizer without one is refused, with what to do", () => {
    expect(() => requireChatTemplate({})).toThrow(/pass one as the option template/);
    expect(requireChatTemplate({}, { template: "T" })).toBe("T");
  });
});

it.each([
  [[], "messages-empty"],
  [["Hi"], "message-malformed"],
  [[{ role: "robot", content: "Hi" }], "message-role"],
  [[...hi, { role: "user", content: [{ type: "text", text: "Hi" }] }], "message-content"],
])("messages %j is refused", (messages, code) => expectCode(renderChat("x", messages as never), code));
