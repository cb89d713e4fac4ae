/** `early-exits chat`, driven by lines and interrupts. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attachHeads, calibrate, createPolicy, generate } from "early-exits";
import type { AuditState } from "early-exits/calibrate";
import type { TurnSummary } from "early-exits/exits";
import type { ChatMessage } from "early-exits/model";
import { writeHeads } from "early-exits/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gemma, chatConfig, chatMl, chatModel, chatTokenizerJson } from "../model/chat/setup.js";
import { smallCheckpoint } from "../support/models.js";
import { cli, scratch, startProcess, type TestIo, type TestIoOptions, words } from "./support.js";
import { times } from "../support/lists.js";
import { resealed } from "../support/verdict.js";

const folder = scratch();
afterAll(folder.remove);
beforeAll(async () => {
  writeFileSync(folder.path("config.json"), JSON.stringify(chatConfig));
  writeFileSync(folder.path("model.safetensors"), await smallCheckpoint(chatConfig));
  writeFileSync(folder.path("tokenizer.json"), JSON.stringify(chatTokenizerJson));
  const tokens = { bos_token: "<|begin_of_text|>", eos_token: "<|im_end|>" };
  writeFileSync(folder.path("tokenizer_config.json"), JSON.stringify({ ...tokens, chat_template: chatMl }));
});

const user = (content: string): ChatMessage => ({ role: "user", content });
const chat = (lines: readonly string[], args: readonly string[] = [], options: TestIoOptions = {}) =>
  cli(words`chat ${folder.path()} --device reference --max-new-tokens 8 ${args}`, { lines, ...options });

/** The model's answer, by the library. */
const answerTo = async (messages: readonly ChatMessage[]) =>
  generate(await chatModel(), messages, { maxNewTokens: 8 }).text();

interface ChatResult {
  readonly messages: readonly ChatMessage[];
  readonly turns: readonly TurnSummary[];
}
const resultOf = (run: { out: string }) => JSON.parse(run.out) as ChatResult;

describe("a chat", () => {
  it("streams the answers to stdout and telemetry to stderr, until /exit or the end of the input", async () => {
    const first = await answerTo([user("what?")]);
    const second = await answerTo([user("what?"), { role: "assistant", content: first }, user("why?")]);
    const { code, out, err } = await chat(["what?", "", "why?", "/exit", "never read"]);
    expect(code).toBe(0);
    expect(out).toBe(`${first}\n${second}\n`);
    expect(err).toMatch(/8 tokens, .*; prompt of \d+ tokens, 0 of them cached\n/);
    expect((await chat(["what?"])).out).toBe(`${first}\n`);
  });

  it("has a history whose beginning is cached, in the JSON result", async () => {
    const { messages, turns } = resultOf(await chat(["what?", "why?"], ["--json", "--system", "Be odd."]));
    expect(messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user", "assistant"]);
    expect(turns[0]!.reusedTokens).toBe(0);
    expect(turns[1]!.reusedTokens).toBeGreaterThanOrEqual(turns[0]!.promptTokens);
  });

  it("obeys /system, /clear and /help, and lists the commands if it does not know one", async () => {
    const lines = ["what?", "/clear", "/system  Be  odd. ", "why?"];
    const { messages } = resultOf(await chat(lines, ["--json"]));
    expect(messages).toEqual([{ role: "system", content: "Be  odd." }, user("why?"), messages[2]]);
    expect(resultOf(await chat(["/system", "why?"], ["--json", "--system", "Be odd."])).messages.length).toBe(2);
    expect((await chat(["/help"])).err).toContain("/clear        forgets the conversation");
    expect((await chat(["/quit"])).err).toContain('there is no command "/quit"\n/system TEXT');
  });

  it("explains a refusal and goes on", async () => {
    writeFileSync(folder.path("gemma.jinja"), gemma);
    const refused = await chat(
      ["what?", "/system no", "what?", "/system", "why?"],
      ["--template", folder.path("gemma.jinja"), "--json"],
    );
    expect(refused.err).toContain('"System role not supported"');
    expect(resultOf(refused).messages.map(({ content }) => content)).toEqual([
      "what?",
      expect.any(String),
      "why?",
      expect.any(String),
    ]);
    expect((await chat(["long ".repeat(chatConfig.max_position_embeddings)])).err).toMatch(/\/clear forgets/);
  });

  it("leaves early by a policy, or drafts losslessly", async () => {
    const heads = attachHeads(await chatModel(), { exits: [1, 2], ahead: true });
    await writeHeads(folder.path("heads"), heads);
    writeFileSync(folder.path("policy.json"), JSON.stringify(createPolicy(heads, "always")));
    const args = ["--heads", folder.path("heads"), "--policy", folder.path("policy.json")];
    expect((await chat(["what?"], args)).err).toContain("mean depth 1.00 of 4 blocks");
    const { messages, turns } = resultOf(await chat(["what?"], [...args, "--lossless", "--json"]));
    expect(messages[1]!.content).toBe(await answerTo([user("what?")]));
    expect(turns[0]!.promise.kind).toBe("lossless");
  });
});

describe("audits of a certified policy", () => {
  const certificate = folder.path("certificate.json");
  const args = ["--heads", folder.path("audited"), "--policy", certificate];
  const states = () => {
    const path = join(process.env["EARLY_EXITS_STATE"]!, "audits");
    return readdirSync(path).map((file) => JSON.parse(readFileSync(join(path, file), "utf8")) as AuditState);
  };

  beforeAll(async () => {
    const heads = attachHeads(await chatModel(), { exits: [1, 2] });
    await writeHeads(folder.path("audited"), heads);
    const texts = times(30, (i) => times(9, (t) => (7 * i + t * t) % 50));
    const honest = (await calibrate(heads, texts, { agreement: 0.5 })).certificate;
    // Every token leaves at the first exit, whose guesses are random, and almost none may change.
    const exits = honest.policy.exits.map((exit) => ({ ...exit, threshold: "always" as const }));
    const certified = { ...honest.policy.certified!, agreement: 0.99, thresholds: exits.map(() => "always" as const) };
    const sealed = await resealed(honest, { policy: { ...honest.policy, exits, certified } });
    writeFileSync(certificate, JSON.stringify(sealed));
  });

  it("read the answers that the next message does not cut short, go on in the next chat, and end exits", async () => {
    const first = await chat(["what?", "why?"], args);
    expect(first.err).toContain("audits: every answer is read once more by the full model (--no-audit");
    expect(states()).toMatchObject([{ every: 1, requests: 2, alarm: { units: 1, raised: false } }]);
    let units = 1;
    for (let err = ""; !err.includes("ALARM"); units++) err = (await chat(["who?".repeat(units)], args)).err;
    expect(units).toBeLessThan(6);
    const alarmed = await chat(["what?"], args);
    expect(alarmed.err).toContain(`ALARM: in ${units} audited texts that the policy wrote, `);
    expect(alarmed.err).toMatch(/at most 1\.0 % were promised, .*; exits are off; to begin anew, remove .*\.json\n/);
    expect(alarmed.out).toBe(`${await answerTo([user("what?")])}\n`);
    expect(states()).toMatchObject([{ requests: units + 1, alarm: { units, raised: true } }]);
  });

  it("are none with --no-audit or --lossless, and keep nothing", async () => {
    for (const off of [["--no-audit"], ["--lossless"]]) {
      expect((await chat(["what?"], [...args, ...off])).err).not.toMatch(/audits:|ALARM/);
    }
    expect(states()).toHaveLength(1);
  });
});

describe("Ctrl-C", () => {
  const interruptOnce = (): TestIoOptions => {
    let done = false;
    return {
      onOut(text: string, io: TestIo) {
        if (done || text.trim() === "") return;
        done = true;
        io.interrupt();
      },
    };
  };

  it("stops the answer and not the program; the answer so far stays in the history", async () => {
    const { code, out, err } = await chat(["what?", "why?"], [], interruptOnce());
    const full = await answerTo([user("what?")]);
    const [stopped, second] = out.split("\n");
    expect(full.startsWith(stopped!)).toBe(true);
    expect(stopped!.length).toBeLessThan(full.length);
    expect(err).toContain("(stopped)");
    expect(second).toBe(await answerTo([user("what?"), { role: "assistant", content: stopped! }, user("why?")]));
    expect(code).toBe(0);
  });

  it("ends the program the second time, and says so the first time if nothing is being answered", async () => {
    const afterAnswer = await chat(["what?", "^C", "why?"], [], interruptOnce());
    expect(afterAnswer.out.split("\n").length).toBe(2);
    expect(afterAnswer.err).not.toContain("Ctrl-C again");
    const idle = await chat(["^C", "^C", "why?"]);
    expect(idle.err).toContain("(Ctrl-C again, or /exit, ends the chat)");
    expect([idle.code, idle.out]).toEqual([0, ""]);
    expect((await chat(["^C", "what?", "^C", "why?"])).out.split("\n").length).toBe(3);
  });
});

it("the process reads lines from a pipe, and ends with it", async () => {
  const { child, ended } = startProcess(words`chat ${folder.path()} --device reference --max-new-tokens 8`);
  child.stdin.end("what?\n/clear\nwhat?\n");
  const { code, out } = await ended;
  const answer = await answerTo([user("what?")]);
  expect([code, out]).toEqual([0, `${answer}\n${answer}\n`]);
});

it("refuses a model without a template, before anything is asked", async () => {
  writeFileSync(folder.path("tokenizer_config.json"), "{}");
  const { code, err } = await chat(["what?"]);
  expect(code).toBe(1);
  expect(err).toContain("came without a chat template");
});
