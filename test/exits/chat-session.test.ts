/** A conversation's turns: the tokens of `generate`, the cache that they share, cancelling, failing. */
import { attachHeads, createPolicy, fillNames, generate } from "early-exits";
import { ChatSession } from "early-exits/exits";
import type { ChatMessage } from "early-exits/model";
import { describe, expect, it } from "vitest";
import { chatConfig, chatHeads, chatModel } from "../model/chat/setup.js";
import { expectCode } from "../support/expect-code.js";

const heads = await chatHeads();
const { model } = heads;

/** Heads on a model whose upper blocks share keys and values. */
async function sharing() {
  const config = { ...chatConfig, num_kv_shared_layers: 2 };
  return attachHeads(await chatModel({ config }), { exits: [1, 2] });
}

async function textOf(turn: AsyncIterable<{ readonly text: string }>) {
  let text = "";
  for await (const token of turn) text += token.text;
  return text;
}
const short = { maxNewTokens: 10, stopAtEndOfText: false };
const user = (content: string): ChatMessage => ({ role: "user", content });

describe("a session", () => {
  it("gives the tokens that generate gives for its messages, turn after turn", async () => {
    const chat = new ChatSession(model, { ...short, temperature: 1, seed: 5, system: "Be odd." });
    for (const [turn, content] of ["what?", "and the user?", "short!"].entries()) {
      const messages = [...chat.messages, user(content)];
      const answer = await textOf(chat.send(content));
      expect(answer).toBe(await textOf(generate(model, messages, { ...short, temperature: 1, seed: 5 + turn })));
      expect(chat.messages).toEqual([...messages, { role: "assistant", content: answer }]);
    }
    expect(chat.messages[0]).toEqual({ role: "system", content: "Be odd." });
    chat.dispose();
  });

  it("runs only the tokens that are new in the prefill of the second turn, by the ledger", async () => {
    const chat = new ChatSession(model, short);
    const first = chat.send("what is the answer?");
    await textOf(first);
    expect(first.summary.reusedTokens).toBe(0);
    const blocks = model.config.numLayers - 1; // of the last, only keys and values
    expect(first.summary.ledger.prefill.blocks).toBe((first.summary.promptTokens - 1) * blocks);

    const second = chat.send("why?");
    await textOf(second);
    const { promptTokens, reusedTokens, ledger } = second.summary;
    expect(reusedTokens).toBeGreaterThanOrEqual(first.summary.promptTokens);
    expect(ledger.prefill.blocks).toBe((promptTokens - reusedTokens - 1) * blocks);
    chat.dispose();
  });

  it.each(fillNames.flatMap((fill) => [false, true].map((lossless) => [fill, lossless] as const)))(
    "with the fill %s (lossless: %s), a turn that reuses the cache has the tokens of one that does not",
    async (fill, lossless) => {
      const own = fill === "shared" ? await sharing() : heads;
      const policy = createPolicy(own, "always", { fill });
      const options = { ...short, policy, lossless };
      const chat = new ChatSession(own, options);
      for (const content of ["what is the answer?", "why?", "the user is short"]) {
        const messages = [...chat.messages, user(content)];
        const turn = chat.send(content);
        expect(await textOf(turn)).toBe(await textOf(generate(own, messages, options)));
        expect(turn.summary.reusedTokens > 10).toBe(messages.length > 1);
      }
      chat.dispose();
    },
  );
});

it.each(["by its signal", "by leaving the loop"])(
  "an answer that is cancelled %s stays in the history as far as it got, and the next turn works",
  async (how) => {
    const chat = new ChatSession(model, short);
    const controller = new AbortController();
    let answer = "";
    const cancelled = async () => {
      for await (const token of chat.send("what?", { signal: controller.signal })) {
        answer += token.text;
        if (answer.length < 3) continue;
        if (how === "by leaving the loop") break;
        controller.abort(new Error("stop"));
      }
    };
    if (how === "by leaving the loop") await cancelled();
    else await expect(cancelled()).rejects.toThrow("stop");
    expect(answer.length).toBeGreaterThanOrEqual(3);
    expect(chat.messages).toEqual([user("what?"), { role: "assistant", content: answer }]);

    const messages = [...chat.messages, user("why?")];
    const next = chat.send("why?");
    expect(await textOf(next)).toBe(await textOf(generate(model, messages, short)));
    expect(next.summary.reusedTokens).toBeGreaterThan(10);
    chat.dispose();
  },
);

describe("a turn that fails", () => {
  it("leaves the history as it was", async () => {
    const chat = new ChatSession(model, short);
    await textOf(chat.send("what?"));
    const before = chat.messages;
    const refused = chat.send("why?", { chat: { template: "{{ raise_exception('no') }}" } });
    await expectCode(textOf(refused), "template-refused");
    await expectCode(textOf(chat.send("long ".repeat(chatConfig.max_position_embeddings))), "context-overflow");
    expect(chat.messages).toEqual(before);
    expect(() => refused.summary).toThrow(/available after the last token/);
    const next = chat.send("why?"); // the second turn of those that did not fail
    const answer = await textOf(next);
    expect(next.summary.reusedTokens).toBeGreaterThan(0);
    expect(answer).toBe(await textOf(generate(model, [...before, user("why?")], { ...short, seed: 1 })));
    chat.dispose();
  });

  it("is refused while another is under way, which goes on", async () => {
    const chat = new ChatSession(model, short);
    const first = chat.send("what?")[Symbol.asyncIterator]();
    await first.next();
    await expectCode(textOf(chat.send("why?")), "chat-busy");
    for (const what of ["clear", "dispose"] as const) {
      expect(() => chat[what]()).toThrow(/while an answer is being written/);
    }
    while ((await first.next()).done !== true);
    expect(chat.messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
    chat.dispose();
  });
});

it("clear forgets the messages but not the system message, which may change at any time", async () => {
  const chat = new ChatSession(model, { ...short, system: "Be brief." });
  await textOf(chat.send("what?"));
  chat.clear();
  expect(chat.messages).toEqual([{ role: "system", content: "Be brief." }]);
  chat.system = undefined;
  const answer = await textOf(chat.send("what?"));
  expect(answer).toBe(await textOf(generate(model, [user("what?")], { ...short })));
  chat.dispose();
});
