/**
 * Three bodies of a megabyte in flight: another client's stream goes on, and /healthz answers. The context is so long
 * that such bodies are encoded before they are refused. Times are of computing, not of the clock, because a busy
 * machine may not run the process at all for most of the time; client and server are this one process.
 */
import { createModel } from "early-exits";
import { llamaConfigJson } from "early-exits/model";
import { createDevice, readTokenizer } from "early-exits/node";
import { serveModel } from "early-exits/serve";
import { afterAll, expect, it } from "vitest";

/** Milliseconds, more than twice what a machine takes that has nothing else to do. */
const LONGEST_GAP = 450;
const computed = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000; // milliseconds
};

const device = await createDevice("wasm", { threads: 1 });
const tokenizer = (await readTokenizer("models/sotu-12"))!;
const config = llamaConfigJson({
  ...{ vocabSize: tokenizer.vocabSize, hiddenSize: 32, numLayers: 2, numHeads: 2, numKvHeads: 1, intermediateSize: 64 },
  ...{ maxPositionEmbeddings: 2 ** 17, tieWordEmbeddings: true, bosTokenId: 0, eosTokenIds: [] },
});
const server = await serveModel(createModel(config, { device, tokenizer }), { port: 0, modelName: "m" });
afterAll(async () => {
  await server.close();
  await device.dispose();
});

const post = (body: string, signal: AbortSignal | null = null) => {
  const headers = { "content-type": "application/json" };
  return fetch(`${server.url}/v1/completions`, { method: "POST", headers, body, signal });
};

/** Their encoding in one piece made others wait for 5 to 15 seconds. */
it.each([
  ["one word", "a".repeat(1e6)],
  ["words", "The state of the Union, in 1861. ".repeat(3e4)],
  ["digits", "1234567890".repeat(1e5)],
  ["spaces", " ".repeat(1e6)],
  ["empty texts", new Array(3e5).fill("")],
])("three bodies of %s leave no long gap in another's stream", async (_name, prompt) => {
  const leave = new AbortController();
  const stream = await post('{"model":"m","prompt":"Once","max_tokens":100000,"seed":1,"stream":true}', leave.signal);
  const gaps = { stream: [] as number[], health: [] as number[] };
  const reading = (async () => {
    const reader = stream.body!.getReader();
    for (let last = computed(); !(await reader.read()).done; last = computed()) gaps.stream.push(computed() - last);
  })();
  const body = JSON.stringify({ model: "m", prompt, max_tokens: 1 });
  const flight = { ended: false };
  const answers = Promise.all([body, body, body].map(async (one) => (await post(one)).status)).finally(() => {
    flight.ended = true;
  });
  while (!flight.ended) {
    const started = computed();
    await (await fetch(`${server.url}/healthz`)).text();
    gaps.health.push(computed() - started);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(await answers).toEqual([400, 400, 400]);
  leave.abort();
  await expect(reading).rejects.toThrow();
  expect(gaps.stream.length).toBeGreaterThan(1);
  expect(Math.max(...gaps.stream, ...gaps.health)).toBeLessThan(LONGEST_GAP);
});
