/** A chat in the playground: with a GGUF file that is dropped, picked or fetched, and with a folder that has exits. */
import { writeFile } from "node:fs/promises";
import { ChatSession } from "early-exits/exits";
import { createDevice, readModel } from "early-exits/node";
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { text, VALUE } from "../support/gguf/bytes.js";
import { ggufModel } from "../support/gguf/model.js";
import { scratch } from "../support/scratch.js";
import { served } from "../support/static-server.js";
import {
  ask,
  choose,
  depthsOf,
  drop,
  folder,
  message,
  PATIENCE,
  press,
  pressAtFirst,
  withText,
  says,
} from "./support.js";

const TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const QUESTION = "Where does the river hold its winters?";
const TALKATIVE = "Why?";

const files = scratch();
const gguf = await writeModel("chat.gguf", {});
/** A model that takes a second for an answer, and whose answer to TALKATIVE ends only at the limit of an answer. */
const slow = await writeModel("slow.gguf", { num_hidden_layers: 12, hidden_size: 256, intermediate_size: 512 });
const server = await served(files.path(), { headers: { "Access-Control-Allow-Origin": "*" } });

/** Writes a random model with a chat template, and returns the path of its file. */
async function writeModel(file: string, config: Readonly<Record<string, number>>) {
  const { files: written, name } = await ggufModel({
    type: "Q8_0",
    config: { max_position_embeddings: 4096, ...config },
    pairs: { "tokenizer.chat_template": [VALUE.string, text(TEMPLATE)] },
  });
  const path = files.path(file);
  await writeFile(path, written[name]!);
  return path;
}

/** The library's own answers in Node. */
async function answersInNode(questions: readonly string[]) {
  const model = await readModel(gguf, { device: await createDevice("wasm") });
  const chat = new ChatSession(model, { seed: 1 });
  const answers: string[] = [];
  for (const question of questions) {
    let answer = "";
    for await (const token of chat.send(question)) answer += token.text;
    answers.push(answer);
  }
  return answers;
}

const log = (page: Page) => page.getByRole("log", { name: "Chat" });
/** Drops a model on the page, and runs a test when it is ready to talk. */
const withChat = (path: string, test: (page: Page) => Promise<void>) =>
  withText(async (page) => {
    await drop(page, path);
    await message(page).waitFor();
    await test(page);
  });

/** The answers in the log, once the last one is complete. */
async function answers(page: Page) {
  await page.locator("#chat-log[aria-busy=false] .token").first().waitFor();
  const texts = await page.locator('#chat-log [data-speaker="Model"] .words').allTextContents();
  return texts.map((one) => one.replaceAll("\u200b", ""));
}

describe("a GGUF file that was dropped", () => {
  it("answers questions as the library in Node does, and turns share the cache", () =>
    withChat(gguf, async (page) => {
      await message(page).fill(QUESTION);
      await press(page, "Send");
      const [first] = await answers(page);
      await says(page, /^\d+ tokens, \d+ per second; prompt of \d+ tokens, 0 of them cached\.$/);
      await ask(page, "And then?");
      await says(page, /; prompt of \d+ tokens, [1-9]\d* of them cached\.$/);
      const both = await answers(page);
      expect(both[0]).toBe(first);
      expect(first!.length).toBeGreaterThan(0);
      expect(both).toEqual(await answersInNode([QUESTION, "And then?"]));
      expect(await message(page).inputValue()).toBe("");
    }));

  it("forgets the conversation when asked", () =>
    withChat(gguf, async (page) => {
      await ask(page, QUESTION);
      const [first] = await answers(page);
      await press(page, "Clear the conversation");
      await expect.poll(() => log(page).textContent(), { timeout: PATIENCE }).toBe("");
      await ask(page, QUESTION);
      await says(page, /^\d+ tokens, .* cached\.$/);
      expect(await answers(page)).toEqual([first]);
    }));

  it("stops an answer when asked, and goes on", () =>
    withChat(slow, async (page) => {
      await message(page).fill(TALKATIVE);
      expect(await page.getByRole("button", { name: "Stop the answer" }).count()).toBe(0);
      await pressAtFirst(page, "#chat-log .token", "#chat-stop");
      await message(page).press("Enter");
      await page.locator("#chat-status", { hasText: "Stopped." }).waitFor();
      await pressAtFirst(page, '#chat-log [data-speaker="Model"] ~ [data-speaker="Model"] .token', "#chat-stop");
      await ask(page, "And then?");
      await page
        .locator('#chat-log [data-speaker="Model"]')
        .nth(1)
        .locator(".token")
        .first()
        .waitFor({ state: "attached" });
      await page.locator("#chat-status", { hasText: "Stopped." }).waitFor();
    }));
});

it.each(["was picked", "is behind a URL", "has a name of the Hub"])(
  "a GGUF file from elsewhere that %s answers a question",
  (place) => {
    const hub = "https://huggingface.co/someone/small/resolve/main/chat.gguf";
    return withText(
      async (page) => {
        await page.context().route(hub, (route) => route.fulfill({ path: gguf, headers: CORS }));
        if (place === "was picked") await page.getByLabel("choose a GGUF file").setInputFiles(gguf);
        else {
          await choose(page, "Hub or address");
          const address = page.getByRole("textbox", { name: /^Name on the Hugging Face Hub/ });
          await address.fill(place === "is behind a URL" ? `${server}chat.gguf` : "someone/small/chat.gguf");
          await address.press("Enter");
        }
        await message(page).waitFor();
        await ask(page, QUESTION);
        expect(await answers(page)).toEqual(await answersInNode([QUESTION]));
      },
      { servers: [server, hub] },
    );
  },
);

const CORS = { "Access-Control-Allow-Origin": "*", "Content-Type": "application/octet-stream" };

describe("a folder", () => {
  it("with exits colours the tokens of an answer by their depth", () =>
    withChat(folder("talking"), async (page) => {
      await ask(page, "The state of the Union");
      await page.locator("#chat-status", { hasText: /mean depth \d+\.\d\d/ }).waitFor();
      expect(new Set(await depthsOf(page, "#chat-log")).size).toBeGreaterThan(1);
    }));

  it("without a chat template says that it cannot answer", () =>
    withText(async (page) => {
      await says(page, "This model came without a chat template");
      expect(await message(page).isVisible()).toBe(false);
    }));
});
