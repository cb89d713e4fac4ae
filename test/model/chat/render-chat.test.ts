/** Templates: what they get, which one is used, and what is said when one fails. */
import { describe, expect, it } from "vitest";
import { OptionError } from "early-exits";
import type { ChatMessage } from "early-exits/model";
import { renderChat } from "../../../src/model/chat/render-chat.js";
import { TemplateError } from "../../../src/errors.js";
import { requireChatTemplate } from "../../../src/model/chat/encode-chat.js";
import { chatMl, chatTokenizer, gemma, llama3 } from "./setup.js";
import { expectCode } from "../../support/expect-code.js";

const hi: readonly ChatMessage[] = [{ role: "user", content: "Hi" }];
const date = new Date(2024, 6, 6, 15, 4, 5);

describe("a template", () => {
  it("has its blocks trimmed as transformers does", async () => {
    expect(await renderChat("a\n  {% if true %}\nb\n  {% endif %}\nc", hi)).toBe("a\nb\nc");
  });

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

  it("that refuses a conversation is quoted", async () => {
    const error = await renderChat(gemma, [...hi, ...hi]).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TemplateError);
    expect(error).toMatchObject({
      code: "template-refused",
      message: expect.stringContaining("Conversation roles must alternate user/assistant/user/assistant/...") as string,
    });
  });

  it("that cannot be parsed or fails is a typed error with the engine's own message", async () => {
    await expect(renderChat("{% if %}", hi)).rejects.toMatchObject({ name: "TemplateError", code: "template-syntax" });
    await expect(renderChat("{{ messages | nonsense }}", hi)).rejects.toMatchObject({
      code: "template-failed",
      message: expect.stringContaining("nonsense") as string,
    });
    await expect(renderChat("{{ strftime_now('%Y') }}", hi)).rejects.toThrow("it uses strftime_now: pass a date");
    await expect(renderChat("{% for i in range(10 ** 9) %}{% endfor %}", hi)).rejects.toMatchObject({
      code: expect.stringMatching(/^template-/) as string,
    });
    await expectCode(renderChat("{{ range(1000000000) | length }}", hi), "template-failed");
  });

  it.each([chatMl, llama3, gemma])("renders a conversation of 2,000 messages", async (template) => {
    const long = Array.from({ length: 2_000 }, (_, i) => ({
      role: i % 2 === 0 ? ("user" as const) : ("assistant" as const),
      content: `message ${i}`,
    }));
    expect(await renderChat(template, long, { bosToken: "", date })).toContain("message 1999");
  });

  it.each([
    ["loops inside loops", "{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}", "steps"],
    [
      "a text that doubles",
      "{% set n = namespace(x='abcd') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
      "a text of more than",
    ],
    [
      "a list that doubles",
      "{% set n = namespace(x=[1, 2]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "a list of more than",
    ],
  ])("is refused for %s", async (_, template, says) => {
    const refused = { code: "template-failed", message: expect.stringContaining(says) as string };
    await expect(renderChat(template, hi)).rejects.toMatchObject(refused);
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

describe("messages", () => {
  it.each([
    [[], "messages-empty"],
    [["Hi"], "message-malformed"],
    [[{ role: "robot", content: "Hi" }], "message-role"],
    [[...hi, { role: "user", content: [{ type: "text", text: "Hi" }] }], "message-content"],
  ])("%j is refused", async (messages, code) => {
    const error = await renderChat("x", messages as never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OptionError);
    expect(error).toMatchObject({ code });
  });
});
