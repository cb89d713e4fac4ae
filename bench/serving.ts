/**
 * Continuous batching, measured and shaken, on SmolLM2-135M-Instruct (../shared/fixtures) or `--model PATH`:
 *   npx tsx bench/serving.ts [--dtype int8] [--threads 2] [--tokens 64] [--rounds 3] [--seconds 0] [--out FOLDER]
 *     [--heads FOLDER --policy FILE]   also times exits
 * Tokens per second of 1 and of 8 clients beside the prefill rate of the same run, and the time between the tokens of
 * 8 clients while prompts of random length join. `--seconds 600` then lets 64 clients ask for random texts, of which a
 * third is given up, compares every one with `generate`, and reports the memory at half time and at the end. Writes
 * bench/reports/serving.md.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { generate, type Model } from "early-exits";
import { policyFrom } from "early-exits/calibrate";
import { advance, Sequence } from "early-exits/model";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { Batcher, type ServingMode, type TextRequest } from "early-exits/serve";
import { createRng, type Rng, type WeightDtype } from "early-exits/tensor";
import { describeMachine, machine, prose, reportsFolder, toMarkdown, writeReport } from "../lab/report/index.js";

const smol = "../../shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL(smol, import.meta.url)) },
    dtype: { type: "string", default: "int8" },
    threads: { type: "string", default: "2" },
    tokens: { type: "string", default: "64" },
    rounds: { type: "string", default: "3" },
    heads: { type: "string" },
    policy: { type: "string" },
    seconds: { type: "string", default: "0" },
    out: { type: "string", default: reportsFolder },
  },
});
const CLIENTS = 8;
const PROMPT = 64;
const where = machine();
console.error(describeMachine(where));
const device = await createDevice("wasm", { threads: Number(options.threads) });
const model = await readModel(options.model, { device, dtype: options.dtype as WeightDtype });
const heads = options.heads === undefined ? undefined : await readHeads(options.heads, model);
const policy = options.policy === undefined ? undefined : policyFrom(await readJson(options.policy));
const tokens = Number(options.tokens);
const context = model.config.maxPositionEmbeddings;
/** Positions of the prompt whose prefill is timed. */
const PREFILL = Math.min(512, context);
/** Positions of the longest prompt of clients who ask again and again. */
const LONGEST = Math.min(256, context - tokens);
const rng = createRng(1);
const promptOf = (length: number): number[] => Array.from({ length }, () => rng.integer(model.config.vocabSize));
const median = (values: readonly number[]): number => quantile(values, 0.5);

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** Positions per second of one long prompt. */
function prefillRate(): number {
  const sequence = new Sequence(model, PREFILL);
  sequence.append(...promptOf(PREFILL));
  const started = performance.now();
  advance(model, [{ sequence, positions: sequence.pending(1) }], model.config.numLayers);
  const seconds = (performance.now() - started) / 1000;
  sequence.dispose();
  return PREFILL / seconds;
}

/** Tokens per second of so many clients after their first tokens, and the times between tokens in milliseconds. */
async function decodingRate(clients: number, mode: ServingMode = "plain"): Promise<number> {
  const batcher = new Batcher(heads ?? model, { parallel: clients, prefixBytes: 0, ...(policy && { policy }) });
  const request = { mode, maxNewTokens: tokens, stopAtEndOfText: false };
  const arrivals: number[] = [];
  const texts = Array.from({ length: clients }, () => batcher.submit(promptOf(PROMPT), request));
  await Promise.all(
    texts.map(async (text) => {
      let first = true;
      for await (const { prompt } of text) {
        if (!first) arrivals.push(performance.now() + prompt);
        first = false;
      }
    }),
  );
  await batcher.close();
  return (arrivals.length - 1) / ((Math.max(...arrivals) - Math.min(...arrivals)) / 1000);
}

/** Milliseconds between tokens of 8 clients who ask again and again, with prompts of random length. */
async function timesBetweenTokens(): Promise<number[]> {
  const batcher = new Batcher(model, { parallel: CLIENTS, prefixBytes: 0 });
  const times: number[] = [];
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let asked = 0; asked < 3; asked++) {
        const text = batcher.submit(promptOf(16 + rng.integer(LONGEST - 16)), {
          maxNewTokens: tokens,
          stopAtEndOfText: false,
        });
        let before = NaN;
        for await (const { prompt } of text) {
          const now = performance.now() + prompt;
          if (!Number.isNaN(before)) times.push(now - before);
          before = now;
        }
      }
    }),
  );
  await batcher.close();
  return times;
}

interface Shaken {
  readonly texts: number;
  readonly givenUp: number;
  readonly different: number;
  readonly errors: number;
  /** Resident memory in MB. */
  readonly halfTime: number;
  readonly end: number;
}

/** 64 clients with random prompts, lengths and sampling, who give up a third of their texts. */
async function shake(seconds: number): Promise<Shaken> {
  const batcher = new Batcher(model, { parallel: CLIENTS, queueLimit: 64, prefixBytes: 2 ** 25 });
  const started = performance.now();
  const shared = promptOf(128);
  const counts = { texts: 0, givenUp: 0, different: 0, errors: 0 };
  const finished: {
    readonly prompt: readonly number[];
    readonly request: TextRequest;
    readonly ids: readonly number[];
  }[] = [];
  const elapsed = (): number => (performance.now() - started) / 1000;
  let halfTime = NaN;
  const client = async (own: Rng): Promise<void> => {
    while (elapsed() < seconds) {
      const prompt = [...shared.slice(0, own.integer(128)), ...promptOf(1 + own.integer(64))];
      const request = { maxNewTokens: 1 + own.integer(48), temperature: own.integer(2), seed: own.integer(1000) };
      const leavesAfter = own.integer(3) === 0 ? own.integer(16) : Infinity;
      const text = batcher.submit(prompt, request);
      const ids: number[] = [];
      try {
        for await (const { id } of text) {
          ids.push(id);
          if (ids.length > leavesAfter) break;
        }
      } catch (error) {
        counts.errors++;
        console.error(error);
      }
      counts.texts++;
      if (ids.length > leavesAfter) counts.givenUp++;
      else finished.push({ prompt, request, ids });
      if (Number.isNaN(halfTime) && elapsed() > seconds / 2) halfTime = residentMegabytes();
    }
  };
  await Promise.all(Array.from({ length: 64 }, (_, i) => client(createRng(i))));
  const end = residentMegabytes();
  await batcher.close();
  for (const { prompt, request, ids } of finished) {
    if ((await idsAlone(model, prompt, request)).join() !== ids.join()) counts.different++;
  }
  return { ...counts, halfTime, end };
}

async function idsAlone(of: Model, prompt: readonly number[], request: TextRequest): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of generate(of, prompt, request)) ids.push(id);
  return ids;
}

function residentMegabytes(): number {
  return process.memoryUsage().rss / 1e6;
}

interface Rates {
  readonly prefill: number;
  readonly one: number;
  readonly eight: number;
  /** NaN without a policy. */
  readonly exits: number;
}
const rates: Rates[] = [];
await decodingRate(1); // warms up
for (let round = 0; round < Number(options.rounds); round++) {
  rates.push({
    prefill: prefillRate(),
    one: await decodingRate(1),
    eight: await decodingRate(CLIENTS),
    exits: policy === undefined ? NaN : await decodingRate(CLIENTS, "exits"),
  });
}
const times = await timesBetweenTokens();
const shaken = Number(options.seconds) > 0 ? await shake(Number(options.seconds)) : undefined;
await device.dispose();

const middle = median(times);
const report = {
  name: "serving",
  title: "Continuous batching",
  machine: where,
  tables: [
    {
      title: `Tokens per second, ${options.dtype}, ${options.threads} threads`,
      note: prose`
        Greedy texts of ${tokens} tokens after random prompts of ${PROMPT}; medians of ${rates.length} rounds. "prefill"
        is the rate of a prompt of ${PREFILL} positions in the same round.
        "exits" are 8 clients whose tokens leave by the policy, if one was given.`,
      columns: ["prefill", "1 client", "8 clients", "8 / 1", "8 / prefill", "8, exits", "exits / plain"],
      rows: [
        [
          median(rates.map(({ prefill }) => prefill)),
          median(rates.map(({ one }) => one)),
          median(rates.map(({ eight }) => eight)),
          median(rates.map(({ eight, one }) => eight / one)),
          median(rates.map(({ eight, prefill }) => eight / prefill)),
          median(rates.map(({ exits }) => exits)),
          median(rates.map(({ exits, eight }) => exits / eight)),
        ],
      ],
    },
    {
      title: "Milliseconds between tokens",
      note: `8 clients who ask again and again, with prompts of 16 to ${LONGEST - 1} tokens.`,
      columns: ["median", "p99", "p99 / median"],
      rows: [[middle, quantile(times, 0.99), quantile(times, 0.99) / middle]],
    },
    ...(shaken === undefined
      ? []
      : [
          {
            title: `64 clients for ${options.seconds} seconds`,
            note: "Random prompts, lengths and sampling; every finished text is compared with that of generate.",
            columns: ["texts", "given up", "different", "errors", "MB at half time", "MB at the end"],
            rows: [Object.values(shaken)],
          },
        ]),
  ],
  data: { rates, times, shaken },
};
if (shaken !== undefined && shaken.different + shaken.errors > 0) process.exitCode = 1;
console.log(toMarkdown(report));
await writeReport(options.out, report);
