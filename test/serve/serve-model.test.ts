/** The HTTP server, by OpenAI's own client and by fetch: answers, streams, errors, limits, access, closing. */
import { createPolicy, generate, type GenerateOptions } from "early-exits";
import { Audit } from "early-exits/calibrate";
import { encodeChat } from "early-exits/model";
import { once } from "node:events";
import { Agent, get, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { afterAll, describe, expect, it } from "vitest";
import { tokenChunk } from "../../apps/serve/answers.js";
import { encodeText } from "../../apps/serve/bodies.js";
import { type RunningServer, serveModel, type ServeOptions } from "../../apps/serve/serve-model.js";
import { chatHeads } from "../model/chat/setup.js";
import { expectCode } from "../support/expect-code.js";

const heads = await chatHeads();
const { model } = heads;
const policy = createPolicy(heads, 0.5, { score: "margin" });
const lines: string[] = [];
const servers: RunningServer[] = [];

async function start(options: ServeOptions = {}) {
  const started = await serveModel(heads, {
    port: 0,
    policy,
    drafting: policy,
    log: (line) => lines.push(line),
    ...options,
  });
  servers.push(started);
  return started;
}
const clientOf = ({ url }: RunningServer, apiKey = "none") =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

const server = await start();
const client = clientOf(server);
afterAll(() => Promise.all(servers.map((one) => one.close())));

async function written(prompt: readonly number[], options: GenerateOptions) {
  const run = generate(heads, prompt, options);
  const depths: number[] = [];
  for await (const { depth } of run) depths.push(depth);
  return { ...run.summary, depths };
}
const MODES = ["plain", "exits", "lossless"] as const;
const wayOf = (mode: (typeof MODES)[number]) => (mode === "plain" ? {} : { policy, lossless: mode === "lossless" });
const messages = [{ role: "user", content: "what is the answer?" }] as const;
const base = { model: "early-exits", max_tokens: 8, temperature: 0 } as const;
const post = (path: string, body: unknown, headers: Record<string, string> = {}, to = server) =>
  fetch(`${to.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
interface Details {
  readonly mode: string;
  readonly depths: readonly number[];
  readonly promise: { readonly kind: string };
}
const detailsOf = (choice: unknown) => (choice as { readonly early_exits: Details }).early_exits;

describe("OpenAI's client", () => {
  it("gets the text of generate for its messages, with usage, seed, mode and depths", async () => {
    const prompt = await encodeChat(model.tokenizer, [...messages]);
    const answer = await client.chat.completions.create({ ...base, messages: [...messages] });
    const expected = await written(prompt, { policy, maxNewTokens: 8 });
    const choice = answer.choices[0]!;
    expect(choice.message).toEqual({ role: "assistant", content: expected.text, refusal: null });
    const again = await post("/v1/chat/completions", { ...base, messages: [choice.message, ...messages] });
    expect(again.status).toBe(200);
    expect(choice.finish_reason).toBe(expected.finishReason === "length" ? "length" : "stop");
    expect(detailsOf(choice)).toMatchObject({ mode: "exits", depths: expected.depths, promise: expected.promise });
    expect(answer.usage).toMatchObject({
      prompt_tokens: prompt.length,
      completion_tokens: expected.newTokens,
      total_tokens: prompt.length + expected.newTokens,
    });
    expect((answer as unknown as { seed: unknown }).seed).toBeTypeOf("number");
  });

  it.each(MODES)("gets n sampled texts of mode %s with seeds that count up", async (mode) => {
    const answer = await client.completions.create({
      ...{ ...base, temperature: 1, mode },
      prompt: "the answer",
      n: 3,
      seed: 7,
    });
    for (const [i, { text }] of answer.choices.entries()) {
      const options = { ...wayOf(mode), temperature: 1, seed: 7 + i, maxNewTokens: 8 };
      expect(text).toBe((await written(await encodeText(model, "the answer"), options)).text);
    }
    expect(answer.choices.map(detailsOf).map((one) => one.mode)).toEqual([mode, mode, mode]);
  });

  it("streams the same text, with usage at the end if it asks for it", async () => {
    const request = { ...base, temperature: 1, seed: 3, messages: [...messages], logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(request);
    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const pieces = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? ""));
    expect(pieces.join("")).toBe(whole.choices[0]!.message.content);
    const [closing, usage] = chunks.slice(-2);
    expect(usage?.usage?.completion_tokens).toBe(whole.usage!.completion_tokens);
    expect(closing?.choices[0]?.finish_reason).toBe(whole.choices[0]!.finish_reason);
    const likely = chunks.flatMap(({ choices }) => choices.flatMap(({ logprobs }) => logprobs?.content ?? []));
    expect(likely).toEqual(whole.choices[0]!.logprobs!.content);
    expect(likely[0]!.top_logprobs).toHaveLength(2);
  });

  it("stops before a stop string, and lists the model", async () => {
    const { text } = await written(await encodeText(model, "the"), { maxNewTokens: 8 });
    const stop = text.slice(3, 5);
    const answer = await client.completions.create({ ...{ ...base, mode: "plain" }, prompt: "the", stop });
    expect(answer.choices[0]!.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(answer.choices[0]!.finish_reason).toBe("stop");
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["early-exits"]);
  });

  it.each([
    ["tools", [{ type: "function", function: { name: "f" } }]],
    ["response_format", { type: "json_object" }],
    ["logit_bias", { "1": 5 }],
    ["presence_penalty", 0.5],
    ["metadata", { topic: "x" }],
    ["reasoning_effort", "high"],
    ["service_tier", "flex"],
    ["store", true],
    ["web_search_options", {}],
  ])("is told that %s is not supported", async (param, value) => {
    const call = client.chat.completions.create({ ...base, messages: [...messages], [param]: value });
    await expect(call).rejects.toMatchObject({ status: 400, param, code: "unsupported_value" });
  });

  it("may send parameters of OpenAI's that are not supported with values that change nothing", async () => {
    const neutral = {
      ...{ parallel_tool_calls: true, tools: [], tool_choice: "auto", metadata: {}, reasoning_effort: "none" },
      ...{ service_tier: "auto", store: false, verbosity: "medium", modalities: ["text"], audio: null, logit_bias: {} },
      ...{ prediction: null, web_search_options: null, prompt_cache_key: "k", safety_identifier: "u" },
      ...{ stream_options: null, response_format: { type: "text" }, frequency_penalty: 0, function_call: "none" },
    };
    expect((await post("/v1/chat/completions", { ...base, messages, ...neutral })).status).toBe(200);
    for (const field of ["metadata", "service_tier", "store"]) {
      expect((await post("/v1/completions", { ...base, prompt: "a", [field]: null })).status).toBe(200);
    }
  });

  it("is told of a model that is not there, of a misspelled field, and of a prompt that is too long", async () => {
    await expect(
      client.chat.completions.create({ ...base, model: "x", messages: [...messages] }),
    ).rejects.toMatchObject({ status: 404, code: "model_not_found" });
    const likely = { ...base, messages: [...messages], top_logprobs: 2 };
    await expect(client.chat.completions.create(likely)).rejects.toMatchObject({ status: 400, param: "top_logprobs" });
    const misspelled = { ...base, prompt: "a", max_token: 3 };
    await expect(client.completions.create(misspelled)).rejects.toMatchObject({ status: 400, param: "max_token" });
    await expect(client.completions.create({ ...base, prompt: "a b ".repeat(500) })).rejects.toMatchObject({
      status: 400,
      code: expect.stringContaining("context") as string,
    });
  });
});

it("a special token that is spelled out in a text prompt stays text", async () => {
  const [spelling, id] = [...model.tokenizer.specialTokens][0]!;
  expect(model.tokenizer.encode(`a ${spelling}`)).toContain(id);
  const ids = await encodeText(model, `a ${spelling}`);
  expect(ids.slice(1)).not.toContain(id);
  expect(await encodeText(model, "what is the answer?")).toEqual(model.tokenizer.encode("what is the answer?"));
});

it("of tokens that are spelled alike, the likeliest is listed", () => {
  const answer = { kind: "text", logprobs: true, spell: () => "?" };
  const top = [-1, -2].map((logprob, id) => ({ id, logprob }));
  expect(
    tokenChunk(answer as never, { index: 0 } as never, { id: 0, logprobs: { logprob: -1, top } } as never),
  ).toMatchObject({ choices: [{ logprobs: { top_logprobs: [{ "?": -1 }] } }] });
});

describe("a body of a megabyte", () => {
  const long = "a".repeat(1e6);
  it.each<[string, object, string]>([
    ["a text", { prompt: long }, "context_length_exceeded"],
    ["a list of texts", { prompt: ["a", long] }, "context_length_exceeded"],
    ["token ids", { prompt: new Array(4e5).fill(1) }, "context_length_exceeded"],
    ["many empty texts", { prompt: new Array(3e5).fill("") }, "too_many_texts"],
    ["many lists of ids", { prompt: new Array(2e5).fill([1]) }, "too_many_texts"],
    ["a list of anything", { prompt: new Array(2e5).fill({}) }, "invalid_value"],
    ["a message", { messages: [{ role: "user", content: long }] }, "context_length_exceeded"],
    ["many messages", { messages: new Array(3e4).fill({ role: "user", content: "" }) }, "context_length_exceeded"],
  ])("with %s is refused before it is encoded, in a few turns", async (_name, body, code) => {
    const started = process.cpuUsage();
    const answer = await post(`/v1/${"prompt" in body ? "" : "chat/"}completions`, { ...base, ...body });
    const { user } = process.cpuUsage(started);
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code } }]);
    expect(user / 1e6).toBeLessThan(1); // seconds of computing; encoding took 10
  });
});

it("more texts in a body than can ever run are refused for good", async () => {
  const single = await start({ parallel: 1, queueLimit: 1 });
  for (const body of [{ prompt: "a", n: 3 }, { prompt: ["a", "a", "a"] }]) {
    const answer = await post("/v1/completions", { ...base, ...body }, {}, single);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([400, null]);
    expect(await answer.json()).toMatchObject({ error: { code: "too_many_texts" } });
  }
});

describe("a client on a connection that is kept", () => {
  it("is told that it is closed after a body that nobody read", async () => {
    const small = await start({ bodyBytes: 1000, key: "secret" });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (body: string, headers: Record<string, string>) =>
      new Promise<(number | string | undefined)[]>((resolve, reject) => {
        const options = { agent, method: "POST", headers: { "content-type": "application/json", ...headers } };
        const asked = request(`${small.url}/v1/completions`, options, (response) => {
          response.resume().on("end", () => resolve([response.statusCode, response.headers.connection]));
        });
        asked.on("error", reject).end(body);
      });
    const key = { authorization: "Bearer secret" };
    const body = JSON.stringify({ ...base, prompt: "a" });
    for (let i = 0; i < 4; i++) {
      expect(await ask("a".repeat(5000), key)).toEqual([413, "close"]);
      expect(await ask("a".repeat(5000), { ...key, "transfer-encoding": "chunked" })).toEqual([413, "close"]);
      expect(await ask(body, {})).toEqual([401, "close"]);
      expect(await ask(body, key)).toEqual([200, "keep-alive"]);
    }
    agent.destroy();
  });

  it("is cut if its headers take too long", async () => {
    const { url } = await start({ headersTime: 200 });
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let answer = "";
    socket.setEncoding("utf8").on("data", (text: string) => (answer += text));
    socket.write("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n");
    const drip = setInterval(() => socket.write("X: y\r\n"), 20);
    await once(
      socket.on("error", () => undefined),
      "close",
    );
    clearInterval(drip);
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
  }, 30_000);
});

describe("access", () => {
  it("is refused to other Hosts and Origins, and to bodies that are not JSON", async () => {
    const body = { ...base, prompt: "a" };
    expect((await post("/v1/completions", body, { origin: "https://evil.example" })).status).toBe(403);
    expect((await post("/v1/completions", body, { "content-type": "text/plain" })).status).toBe(415);
    expect((await post("/v1/completions", "{")).status).toBe(400);
    const preflight = await fetch(`${server.url}/v1/completions`, { method: "OPTIONS" });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
    const rebound = await hostStatus("evil.example");
    expect([rebound, await hostStatus("localhost")]).toEqual([403, 200]);
  });

  it("needs a key off loopback, and then the key", async () => {
    for (const options of [{ host: "0.0.0.0" }, { key: "" }]) await expectCode(start(options), "serve-key");
    const keyed = await start({ key: "secret" });
    await expect(clientOf(keyed, "wrong").models.list()).rejects.toMatchObject({ status: 401 });
    expect((await clientOf(keyed, "secret").models.list()).data).toHaveLength(1);
    expect((await fetch(`${keyed.url}/healthz`)).status).toBe(200);
  });
});

/** The status of a request for a Host; fetch would not send another one. */
async function hostStatus(host: string) {
  const asked = get(`${server.url}/v1/models`, { headers: { host } });
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  return response.resume().statusCode;
}

const idle = async (one: RunningServer) => {
  while (one.batcher.state.running > 0) await sleep(5);
};

it("a client that goes away from a stream stops the work, and its memory is freed", async () => {
  const single = await start({ parallel: 1, queueLimit: 1, prefixBytes: 0 });
  const long = { ...base, max_tokens: 60, prompt: "the", stream: true as const, mode: "plain" };
  const stream = await clientOf(single).completions.create(long);
  for await (const chunk of stream) {
    expect(chunk.choices).toHaveLength(1);
    break; // the client aborts the connection
  }
  await idle(single);
  expect(single.batcher.state).toEqual({ running: 0, queued: 0, cacheBytes: 0, prefixBytes: 0 });
});

it("a full queue is answered with 429 and Retry-After", async () => {
  const single = await start({ parallel: 1, queueLimit: 7 });
  const first = post("/v1/completions", { ...base, prompt: "a", n: 8, max_tokens: 60 }, {}, single);
  while (single.batcher.state.queued === 0) await sleep(1);
  const answer = await post("/v1/completions", { ...base, prompt: "a", n: 8 }, {}, single);
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "1"]);
  expect(await answer.json()).toMatchObject({ error: { type: "rate_limit_error", code: "queue-full" } });
  expect((await first).status).toBe(200);
  expect((await post("/v1/completions", { ...base, prompt: "a" }, {}, single)).status).toBe(200);
});

it("after the alarm, answers are as the server was told, and log and metrics say so", async () => {
  const sampling = { temperature: 1 };
  const audit = new Audit(heads, policy, { agreement: 0.9999, sampling });
  const audited = await start({ audit, otherwise: "lossless" });
  const alone = new Audit(heads, policy, { agreement: 0.9999, sampling });
  const promptIds = await encodeText(model, "the answer");
  const modes: string[] = [];
  for (let seed = 0; seed < 20; seed++) {
    const answer = await clientOf(audited).completions.create({ ...base, ...sampling, prompt: "the answer", seed });
    modes.push(detailsOf(answer.choices[0]).mode);
    await audit.settled();
    if (modes.at(-1) === "lossless") break;
    const { ids } = await written(promptIds, { policy, ...sampling, seed, maxNewTokens: 8 });
    await alone.read({ promptIds, ids });
    expect(audit.state).toEqual(alone.state);
  }
  expect([modes[0], modes.at(-1)]).toEqual(["exits", "lossless"]);
  const refused = await post("/v1/completions", { ...base, ...sampling, prompt: "a", mode: "exits" }, {}, audited);
  expect(await refused.json()).toMatchObject({ error: { code: "serve-alarm" } });
  expect(lines.filter((line) => line.startsWith("ALARM"))).toHaveLength(1);
  const metrics = await (await fetch(`${audited.url}/metrics`)).text();
  expect(metrics).toMatch(/^early_exits_audit_alarm 1$/m);
  expect(metrics).toMatch(/^early_exits_tokens_total\{mode="exits"\} \d+$/m);
  expect(metrics).toMatch(/^early_exits_token_depth_blocks_bucket\{le="4",mode="exits"\} \d+$/m);
});

it("closing lets answers under way end, and logs hold no prompts", async () => {
  const closing = await start();
  const { batcher } = closing;
  const state = { ended: false }; // a fast machine may end the answer between two turns of the event loop
  const answer = clientOf(closing)
    .completions.create({ ...base, max_tokens: 30, prompt: "what the user" })
    .finally(() => (state.ended = true));
  while (batcher.state.running + batcher.state.queued === 0 && !state.ended) {
    await sleep();
  }
  await Promise.all([closing.close(), answer.then(({ choices }) => expect(choices).toHaveLength(1))]);
  await expect(fetch(`${closing.url}/healthz`)).rejects.toThrow();
  expect(lines.join("\n")).toMatch(/POST \/v1\/completions 200, \d+ ms/);
  expect(lines.join("\n")).not.toMatch(/what the user|the answer/);
});

it("64 clients, some of whom go away, get what generate writes and leave no memory behind", async () => {
  const busy = await start({ parallel: 6 });
  const one = async (seed: number) => {
    const prompt = "the answer is short. ".repeat(1 + (seed % 3)).slice(seed % 7);
    const mode = MODES[seed % 3]!;
    const body = { model: "early-exits", prompt, mode, seed, temperature: seed % 2, max_tokens: 1 + (seed % 9) };
    const controller = new AbortController();
    if (seed % 4 === 0) {
      setTimeout(() => controller.abort(), seed % 32);
    }
    try {
      const answer = await clientOf(busy).completions.create(body, { signal: controller.signal });
      const options = { ...wayOf(mode), seed, temperature: seed % 2, maxNewTokens: 1 + (seed % 9) };
      expect(answer.choices[0]!.text).toBe((await written(await encodeText(model, prompt), options)).text);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    }
  };
  await Promise.all(Array.from({ length: 64 }, (_, seed) => one(seed)));
  await idle(busy);
  const { cacheBytes, prefixBytes, queued } = busy.batcher.state;
  expect([cacheBytes, queued]).toEqual([prefixBytes, 0]);
});
