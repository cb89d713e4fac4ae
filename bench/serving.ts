/**
 * Continuous batching, measured on SmolLM2-135M-Instruct (../shared/fixtures) or `--model FILE`:
 *   npx tsx bench/serving.ts [--dtype int8] [--threads 2] [--tokens 64] [--rounds 5] [--heads FOLDER] [--policy FILE]
 *     [--fixtures FOLDER] [--out FOLDER]
 * Tokens per second of 1 and of 8 clients beside the prefill rate of the same run; what exits bring to 1 and to 8
 * clients; the time between the tokens of 8 clients while prompts of random length join; what audits cost of the tokens
 * per second of 8 clients who ask again and again, and when nobody asks any more. Writes serving.md and
 * serving.json to bench/reports. Ten minutes of clients who come and go: lab/soak.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generate } from "early-exits";
import { Audit, type Certificate, policyFrom } from "early-exits/calibrate";
import { advance, encodeChat, Sequence } from "early-exits/model";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { Batcher, type ServingMode } from "early-exits/serve";
import { createRng, type WeightDtype } from "early-exits/tensor";
import { auditTexts } from "../apps/serve/audits.js";
import { heldPrompts } from "../lab/pretrained/held-prompts.js";
import { describeMachine, machine } from "../lab/report/machine.js";
import { prose } from "../lab/report/prose.js";
import { reportsFolder } from "../lab/report/script.js";
import { type Table, toMarkdown, writeReport } from "../lab/report/report.js";
import { withRange } from "../lab/report/format.js";
import { quantileOf as quantile } from "../lab/speed/timing.js";
import { type ClientRates, readTogether } from "../lab/read-together.js";

const { values: options } = parseArgs({
  options: {
    fixtures: { type: "string", default: "../shared/fixtures" },
    model: { type: "string" },
    dtype: { type: "string", default: "int8" },
    threads: { type: "string", default: "2" },
    tokens: { type: "string", default: "64" },
    rounds: { type: "string", default: "5" },
    heads: { type: "string", default: "models/smollm2-135m-instruct/heads" },
    policy: { type: "string", default: "models/smollm2-135m-instruct/certificates/95.json" },
    out: { type: "string", default: reportsFolder },
  },
});
const CLIENTS = 8;
/** Tokens of the prompts that plain clients give. */
const PROMPT = 64;
/** Positions of the prompt whose prefill is timed. */
const PREFILL = 512;
/** Positions of the longest prompt of clients who ask again and again. */
const LONGEST = 256;
const MOST_RATIO = 3;
/** Texts of each client whose answers are audited, and one audited text in so many, as `serve` has it. */
const TEXTS = 5;
const AUDIT_EVERY = 20;
const where = machine();
console.error(describeMachine(where));
const smol = "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const device = await createDevice("wasm", { threads: Number(options.threads) });
const model = await readModel(options.model ?? join(options.fixtures, smol), {
  device,
  dtype: options.dtype as WeightDtype,
});
const heads = await readHeads(options.heads, model);
const policy = policyFrom(await readJson(options.policy));
const tokens = Number(options.tokens);
const rounds = Number(options.rounds);
const rng = createRng(1);
const randomPrompt = (length: number): number[] => Array.from({ length }, () => rng.integer(model.config.vocabSize));
const median = (values: readonly number[]): number => quantile(values, 0.5);
const spread = (values: readonly number[]): string =>
  withRange({ median: median(values), low: Math.min(...values), high: Math.max(...values) });

/** Positions per second of one long prompt. */
function prefillRate(): number {
  const sequence = new Sequence(model, PREFILL);
  sequence.append(...randomPrompt(PREFILL));
  const started = performance.now();
  advance(model, [{ sequence, positions: sequence.pending(1) }], model.config.numLayers);
  const seconds = (performance.now() - started) / 1000;
  sequence.dispose();
  return PREFILL / seconds;
}

/** One client for each prompt. */
async function ratesOf(prompts: readonly (readonly number[])[], mode: ServingMode): Promise<ClientRates> {
  const batcher = new Batcher(heads, { parallel: prompts.length, prefixBytes: 0, policy });
  await batcher.prepare();
  const request = { mode, maxNewTokens: tokens, stopAtEndOfText: false };
  const rates = await readTogether(() => prompts.map((prompt) => batcher.submit(prompt, request)), tokens);
  await batcher.close();
  return rates;
}

/** Milliseconds between tokens of 8 clients who ask again and again, with prompts of random length. */
async function timesBetweenTokens(): Promise<number[]> {
  const batcher = new Batcher(model, { parallel: CLIENTS, prefixBytes: 0 });
  const times: number[] = [];
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let asked = 0; asked < 3; asked++) {
        const text = batcher.submit(randomPrompt(16 + rng.integer(LONGEST - 16)), {
          maxNewTokens: tokens,
          stopAtEndOfText: false,
        });
        let before = NaN;
        const stream = text[Symbol.asyncIterator]();
        while ((await stream.next()).done !== true) {
          const now = performance.now();
          if (!Number.isNaN(before)) times.push(now - before);
          before = now;
        }
      }
    }),
  );
  await batcher.close();
  return times;
}

/** Tokens per second of 8 clients who ask again and again by the policy, and the texts that were audited till then. */
async function askingRate(audited: boolean): Promise<{ readonly rate: number; readonly read: number }> {
  const batcher = new Batcher(heads, { parallel: CLIENTS, prefixBytes: 0, policy });
  await batcher.prepare();
  const audit = audited ? new Audit(heads, policy, { every: AUDIT_EVERY }) : undefined;
  const stopping = new AbortController();
  const onText = auditTexts(batcher, {
    audit,
    stopping: stopping.signal,
    now: () => performance.now(),
    log: console.error,
    otherwise: "plain",
  });
  const readings: Promise<void>[] = [];
  const started = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let asked = 0; asked < TEXTS; asked++) {
        const prompt = randomPrompt(PROMPT);
        const text = batcher.submit(prompt, { mode: "exits", maxNewTokens: tokens, stopAtEndOfText: false });
        readings.push(onText(prompt, text, undefined));
        await text.ended;
      }
    }),
  );
  const rate = (1000 * CLIENTS * TEXTS * tokens) / (performance.now() - started);
  const read = audit?.report.units ?? 0;
  await Promise.all(readings);
  stopping.abort();
  await batcher.close();
  return { rate, read };
}

/** Held-out prompts whose answers are longer than what is timed. */
async function questions(count: number): Promise<number[][]> {
  const found: number[][] = [];
  const { documents = [] } = (await readJson(options.policy)) as Partial<Certificate>; // a policy alone has none
  for (const { content } of await heldPrompts(options.fixtures, model.tokenizer, [{ documents }])) {
    const prompt = await encodeChat(model.tokenizer, [{ role: "user", content }]);
    const ids: number[] = [];
    const text = generate(model, prompt, { maxNewTokens: 2 * tokens, stopAtEndOfText: false });
    for await (const { id } of text) ids.push(id);
    if (!ids.some((id) => model.config.eosTokenIds.includes(id))) found.push(prompt);
    if (found.length === count) break;
  }
  return found;
}

interface Round {
  readonly prefill: number;
  readonly one: ClientRates;
  readonly eight: ClientRates;
  /** On questions. */
  readonly plain: readonly [one: ClientRates, eight: ClientRates];
  readonly exits: readonly [one: ClientRates, eight: ClientRates];
  readonly unaudited: number;
  readonly audited: Awaited<ReturnType<typeof askingRate>>;
}
const asked = await questions(CLIENTS);
const measured: Round[] = [];
await ratesOf(asked, "plain"); // warms up
await ratesOf(asked, "exits");
for (let round = 0; round < rounds; round++) {
  console.error(`round ${round + 1} of ${rounds}`);
  const first = [asked[round % CLIENTS]!];
  measured.push({
    prefill: prefillRate(),
    one: await ratesOf([randomPrompt(PROMPT)], "plain"),
    eight: await ratesOf(
      Array.from({ length: CLIENTS }, () => randomPrompt(PROMPT)),
      "plain",
    ),
    plain: [await ratesOf(first, "plain"), await ratesOf(asked, "plain")],
    exits: [await ratesOf(first, "exits"), await ratesOf(asked, "exits")],
    unaudited: (await askingRate(false)).rate,
    audited: await askingRate(true),
  });
}
const times = await timesBetweenTokens();
await device.dispose();

const by = (of: (round: Round) => number): number[] => measured.map(of);
const tables: Table[] = [
  {
    title: `Tokens per second, ${options.dtype}, ${options.threads} threads`,
    note: prose`
      Greedy texts of ${tokens} tokens after random prompts of ${PROMPT}, all clients together, after each has its first
      token; medians of ${rounds} rounds, lowest to highest. "Prefill" is the rate of a prompt of ${PREFILL} positions
      in the same round. A token of a client takes a product with the unembedding, one of a prompt does not.`,
    columns: ["prefill", "1 client", `${CLIENTS} clients`, `${CLIENTS} / 1`, `${CLIENTS} / prefill`],
    rows: [
      [
        spread(by(({ prefill }) => prefill)),
        spread(by(({ one }) => one.writing)),
        spread(by(({ eight }) => eight.writing)),
        spread(by(({ one, eight }) => eight.writing / one.writing)),
        spread(by(({ prefill, eight }) => eight.writing / prefill)),
      ],
    ],
  },
  {
    title: "Exits",
    note: prose`
      Answers to held-out questions, ${tokens} tokens each, plain and by the policy ${options.policy}. "Writing" as
      above; "whole" from the requests on, with their prompts.`,
    columns: ["clients", "plain, writing", "exits, writing", "exits / plain, writing", "exits / plain, whole"],
    rows: [1, CLIENTS].map((clients, c) => [
      `${clients}`,
      spread(by(({ plain }) => plain[c]!.writing)),
      spread(by(({ exits }) => exits[c]!.writing)),
      spread(by(({ plain, exits }) => exits[c]!.writing / plain[c]!.writing)),
      spread(by(({ plain, exits }) => exits[c]!.whole / plain[c]!.whole)),
    ]),
  },
  {
    title: "Audits",
    note: prose`
      ${CLIENTS} clients ask ${TEXTS} times each by the policy, with random prompts of ${PROMPT} tokens; one answer in
      ${AUDIT_EVERY} is read once more by the full model, after other work, and at most 2 % of the time while answers
      are being written. Tokens per second until the last answer, medians of ${rounds} rounds.`,
    columns: ["without audits", "with audits", "with / without", "texts read meanwhile"],
    rows: [
      [
        spread(by(({ unaudited }) => unaudited)),
        spread(by(({ audited }) => audited.rate)),
        spread(by(({ unaudited, audited }) => audited.rate / unaudited)),
        spread(by(({ audited }) => audited.read)),
      ],
    ],
  },
  {
    title: "Milliseconds between tokens",
    note: prose`
      ${CLIENTS} clients who ask again and again, with prompts of 16 to ${LONGEST - 1} tokens. The 99th percentile is to
      be at most ${MOST_RATIO} medians.`,
    columns: ["median", "99th percentile", "ratio", "times"],
    rows: [[median(times), quantile(times, 0.99), quantile(times, 0.99) / median(times), times.length]],
  },
];
const report = {
  name: "serving",
  title: "Continuous batching",
  machine: where,
  tables,
  data: { measured, times },
};
console.log(toMarkdown(report));
await writeReport(options.out, report);
