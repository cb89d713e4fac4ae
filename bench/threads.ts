/**
 * What threads bring, and what they cost when another process wants a core: decoding with cache, batch 1, GPT-2 shape (6 blocks, d 512,
 * 8 heads, ff 2048, V 8192), tokens per second for each number of threads, alone and beside one busy loop, in interleaved rounds.
 * Run with `npx tsx bench/threads.ts [dtype] [rounds] [threads …]`. A ratio is to one thread in the same round and condition.
 * "others" is what other processes took of all cores while the row was measured (median): alone it should be near 0.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createModel, generate, loadModel, memorySource, type Model, serializeModel } from "../src/index.js";
import { createDevice } from "../src/node/create-device.js";
import type { WeightDtype } from "../src/tensor/device.js";

const [dtype = "float32", roundsText = "5", ...counts] = process.argv.slice(2);
const rounds = Number(roundsText);
const threadCounts = counts.length > 0 ? counts.map(Number) : [1, 2];
const [PROMPT, TOKENS] = [16, 96];

const config = {
  model_type: "gpt2", n_layer: 6, n_embd: 512, n_head: 8, n_positions: 256, vocab_size: 8192, n_inner: 2048,
  activation_function: "gelu_new", layer_norm_epsilon: 1e-5, bos_token_id: 0, eos_token_id: 0,
};
const weights = memorySource(await serializeModel(createModel(config, { device: await createDevice("wasm"), seed: 1 })));

const models = new Map<number, Model>();
for (const threads of threadCounts) models.set(threads, await loadModel(config, weights, { device: await createDevice("wasm", { threads }), dtype: dtype as WeightDtype }));

interface Sample {
  readonly tokensPerSecond: number;
  readonly others: number;
}

/** One generation; `others` in cores. */
async function measure(model: Model): Promise<Sample> {
  const [before, own, started] = [busyMs(), process.cpuUsage(), performance.now()];
  const run = generate(model, Array.from({ length: PROMPT }, (_, i) => i + 1), { maxNewTokens: TOKENS, stopAtEndOfText: false });
  const tokens = run[Symbol.asyncIterator]();
  while ((await tokens.next()).done !== true);
  const used = process.cpuUsage(own);
  const others = busyMs() - before - (used.user + used.system) / 1000;
  return { tokensPerSecond: run.summary.tokensPerSecond, others: Math.max(0, others) / (performance.now() - started) };
}

function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

const conditions = ["alone", "beside a busy loop"] as const;
const samples = new Map<string, Sample[]>();
for (const model of models.values()) for (let i = 0; i < 3; i++) await measure(model);
for (let round = 0; round < rounds; round++) {
  for (const condition of conditions) {
    const loop = condition === "alone" ? undefined : spawn(process.execPath, ["-e", "for(;;);"], { stdio: "ignore" });
    if (loop !== undefined) await sleep(300);
    for (const [threads, model] of models) {
      const key = `${condition}, ${threads}`;
      samples.set(key, [...(samples.get(key) ?? []), await measure(model)]);
    }
    if (loop !== undefined) {
      loop.kill("SIGKILL");
      await once(loop, "exit");
    }
  }
}

const first = models.values().next().value!;
console.log(`${cpus()[0]?.model ?? "?"}, ${cpus().length} cores, Node ${process.version}, ${first.device.info.description}`);
console.log(`decode of ${TOKENS} tokens after ${PROMPT}, ${dtype}, ${rounds} rounds; median [lowest, highest]\n`);
console.log("| | threads | tokens/s | / 1 thread | others, cores |\n|---|---|---|---|---|");
for (const condition of conditions) {
  const base = samples.get(`${condition}, ${threadCounts[0]!}`)!;
  for (const threads of threadCounts) {
    const rows = samples.get(`${condition}, ${threads}`)!;
    const speeds = spread(rows.map(({ tokensPerSecond }) => tokensPerSecond));
    const ratios = spread(rows.map(({ tokensPerSecond }, i) => tokensPerSecond / (base[i]?.tokensPerSecond ?? NaN)));
    console.log(`| ${condition} | ${threads} | ${format(speeds, 0)} | ${format(ratios, 2)} | ${spread(rows.map(({ others }) => others)).median.toFixed(1)} |`);
  }
}
for (const { device } of models.values()) await device.dispose();

function spread(values: readonly number[]): { median: number; low: number; high: number } {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: sorted[sorted.length >> 1]!, low: sorted[0]!, high: sorted[sorted.length - 1]! };
}

function format({ median, low, high }: { median: number; low: number; high: number }, digits: number): string {
  return `${median.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}
