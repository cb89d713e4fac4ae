/**
 * Speed of training a large model's heads: recording states, and the steps that read them.
 *   npx tsx bench/training.ts [--model FILE] [--text FILE] [--threads N]
 * Without options: SmolLM2-135M-Instruct in Q4_1 and its chat answers (../shared/fixtures), two threads. Records 24
 * answers at depths 12 and 21, then times steps of 512 positions of linear heads on a list of 8,192 tokens: with one
 * head, and with both. Prints tokens a second of the clock, and of the processor's time on all threads, which other
 * processes change less; writes no report.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { attachHeads, trainHeads } from "early-exits";
import { cachedBatches, type CacheStore, frequentTokens, recordHidden } from "early-exits/exits";
import { markedDocument } from "../src/model/documents.js";
import { createDevice, readDocuments, readModel } from "early-exits/node";

const DOCUMENTS = 24;
const STEPS = 12;
const LISTED = 8192;
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../shared/fixtures/models/smollm2-135m-instruct/${name}`, import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: "string", default: fixture("SmolLM2-135M-Instruct.Q4_1.gguf") },
    text: { type: "string", default: fixture("chat-answers.jsonl") },
    threads: { type: "string", default: "2" },
  },
});

const device = await createDevice("wasm", { threads: Number(values.threads) });
const model = await readModel(values.model, { device });
const documents = (await readDocuments(values.text, model)).slice(0, DOCUMENTS);
const tokens = documents.reduce((sum, document) => sum + markedDocument(model, document).ids.length, 0);
await model.hash(); // reads the whole file, once

const store = memoryStore();
await timed("recording, prompts included", tokens, () => recordHidden(model, documents, [12, 21], store));
const list = await frequentTokens(model, documents, LISTED, { positions: 0, countText: true });
for (const depths of [[12], [12, 21]]) {
  const source = await cachedBatches(model, depths, store, { rows: 512 });
  const heads = attachHeads(model, { exits: depths, kind: "linear" });
  await trainHeads(heads, source, { steps: 1, list }); // compiles, packs
  let rows = 0;
  for (let step = 0; step < STEPS; step++) rows += (await source.batch(step)).rows;
  await timed(`training ${depths.length} linear head(s)`, rows, () =>
    trainHeads(heads, source, { steps: STEPS, list }),
  );
  heads.dispose();
}
model.dispose();
await device.dispose();

async function timed(what: string, count: number, work: () => Promise<unknown>): Promise<void> {
  const cpu = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const perSecond = (time: number): string => (count / time).toFixed(0);
  const ofProcessor = perSecond((user + system) / 1e6);
  console.log(`${what}: ${perSecond(seconds)} tokens/s, ${ofProcessor} per second of the processor`);
}

function memoryStore(): CacheStore {
  const files = new Map<string, Uint8Array>();
  return {
    read: (name) => Promise.resolve(files.get(name)),
    write: (name, bytes) => Promise.resolve(void files.set(name, bytes)),
  };
}
