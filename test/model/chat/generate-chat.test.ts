/** Generating after messages, and what a model folder says of conversations. */
import { generate, generateBatch } from "early-exits";
import { type ChatMessage, encodeChat, type Folder } from "early-exits/model";
import { loadFolder } from "../../../src/model/files/folder.js";
import { describe, expect, it } from "vitest";
import { chatConfig, chatMl, chatModel, chatTokenizerJson } from "./setup.js";
import { generated } from "../../support/generated.js";
import { smallByteModel, smallCheckpoint } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const messages: readonly ChatMessage[] = [{ role: "user", content: "what is the answer?" }];
const model = await chatModel();

describe("messages as a prompt", () => {
  it("give what their token ids give", async () => {
    const ids = await encodeChat(model.tokenizer, messages);
    expect((await generated(model, messages)).ids).toEqual((await generated(model, ids)).ids);
  });

  it("are rendered with the options given", async () => {
    const chat = { template: "{{ word }}", variables: { word: "ab" } };
    expect((await generated(model, messages, { chat })).summary.promptTokens).toBe(2);
  });

  it("stand beside texts and ids in a batch", async () => {
    const prompts = ["the answer", messages, [1, 2, 3]];
    const options = { maxNewTokens: 8, stopAtEndOfText: false, batchSize: 2 };
    const batch = generateBatch(model, prompts, options);
    for await (const token of batch) expect(token.prompt).toBeLessThan(3);
    for (const [i, prompt] of prompts.entries()) {
      expect(batch.summaries[i]!.ids).toEqual((await generated(model, prompt, { maxNewTokens: 8 })).ids);
    }
  });

  it("are refused at once if malformed or without a template, and when iterated if the template refuses", async () => {
    expect(() => generate(model, [{ role: "robot", content: "Hi" } as never])).toThrow(/legal are system, user/);
    const bytes = await smallByteModel();
    expect(() => generate(bytes, messages)).toThrow(/came without a chat template/);
    const refusing = generated(model, messages, { chat: { template: "{{ raise_exception('no') }}" } });
    await expectCode(refusing, "template-refused");
  });
});

describe("a folder", () => {
  const folderOf = async (files: Readonly<Record<string, unknown>>): Promise<Folder> => {
    const encode = (value: unknown) =>
      new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
    const all: Readonly<Record<string, unknown>> = {
      "config.json": chatConfig,
      "tokenizer.json": chatTokenizerJson,
      ...files,
    };
    const checkpoint = await smallCheckpoint(chatConfig);
    return {
      path: "memory",
      open(name) {
        const bytes = name === "model.safetensors" ? checkpoint : name in all ? encode(all[name]) : undefined;
        if (bytes === undefined) return Promise.resolve(undefined);
        const read = (begin: number, end: number) => Promise.resolve(bytes.slice(begin, end));
        return Promise.resolve({ path: name, size: bytes.length, read });
      },
    };
  };
  const load = async (files: Readonly<Record<string, unknown>>) =>
    loadFolder(await folderOf(files), { device: model.device });

  it("has its template in tokenizer_config.json, or in chat_template.jinja, which comes first", async () => {
    const config = { chat_template: "of the configuration" };
    expect((await load({ "tokenizer_config.json": config })).tokenizer.chatTemplate).toBe("of the configuration");
    const both = await load({ "tokenizer_config.json": config, "chat_template.jinja": chatMl });
    expect(both.tokenizer.chatTemplate).toBe(chatMl);
    expect((await load({ "chat_template.jinja": chatMl })).tokenizer.chatTemplate).toBe(chatMl);
  });

  it("may name more end-of-text tokens in generation_config.json, which leave the model's hash as it is", async () => {
    const plain = await load({});
    const more = await load({ "generation_config.json": { eos_token_id: [2, 8] } });
    expect(plain.config.eosTokenIds).toEqual([2]);
    expect(more.config.eosTokenIds).toEqual([2, 8]);
    expect(await more.hash()).toBe(await plain.hash());
    await expectCode(load({ "generation_config.json": { eos_token_id: "x" } }), "config-field");
  });
});
