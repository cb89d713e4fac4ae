/**
 * Compares lossy decoding with the prediction of its own ledger:
 *   npm run bench:exits [-- --rounds N] [--clock cpu] [--only PATTERN] [--out FOLDER]
 * Unit times (block, head, fill, final head) are measured in the same run, on the CPU device with one thread. Counts
 * times unit times give a predicted speedup over plain decoding, and the measured one should reach 90 % of it. A
 * pattern decides which tokens leave, not the heads' scores (coverage is simulated, the work is real): every head on
 * the way is evaluated and counted. Writes bench/reports/exits.md. The clock is wall-clock time; `--clock cpu` takes
 * the processor time of the process instead, which other programs on the machine do not lengthen.
 */
import { parseArgs } from "node:util";
import {
  attachHeads,
  createPolicy,
  type Device,
  type ExitHeads,
  type FillName,
  fitProjections,
  generate,
  type LedgerReport,
  measureUnitTimes,
  type Model,
} from "early-exits";
import { type DecodeObserver, predictTime } from "early-exits/exits";
import { createDevice, readModel } from "early-exits/node";
import { describeMachine, machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { type Report, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { modelFolder } from "../lab/ship/embedded.js";
import { benchShapes, randomModel } from "../lab/speed/models.js";
import { timingOf } from "../lab/speed/timing.js";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    clock: { type: "string", default: "wall" },
    only: { type: "string", default: "" },
    out: { type: "string", default: reportsFolder },
  },
});
const rounds = Number(options.rounds);
const now = options.clock === "cpu" ? cpuTime : (): number => performance.now();
const PROMPT = 32;
const TOKENS = 65;
const WARM_UP = 1500;
const where = machine();
console.error(describeMachine(where));

interface Case {
  readonly name: string;
  readonly load: (device: Device) => Promise<Model>;
  readonly exits: readonly number[];
  readonly kind: "dense" | "linear";
}
const cases: readonly Case[] = [
  {
    name: "sotu-6 (embedded, 0.7 M)",
    load: (device) => readModel(modelFolder("sotu-6"), { device }),
    exits: [2, 4],
    kind: "linear",
  },
  ...["gpt2 27M", "llama 110M"].map((name): Case => ({
    name: `${name}, random weights`,
    load: (device) => randomModel(benchShapes[name]!, device),
    exits: name === "gpt2 27M" ? [2, 4] : [4, 8],
    kind: "linear",
  })),
];
const fillsTried = ["lazy", "project"] as const satisfies readonly FillName[];

/** The exit at which a token leaves: of eight tokens four leave at the first, two at the second, two do not leave. */
const leaves = (token: number): number => [0, 1, 0, 2, 0, 1, 0, 2][token % 8]!;

interface Result {
  readonly model: string;
  readonly fill: FillName;
  readonly measured: number;
  readonly predicted: number;
  readonly share: number;
  readonly plain: number;
  readonly outside: number;
}
const results: Result[] = [];

for (const { name, load, exits, kind } of cases.filter(({ name }) => new RegExp(options.only).test(name))) {
  const device = await createDevice("wasm", { threads: 1 });
  const model = await load(device);
  const heads = attachHeads(model, { exits, kind });
  const { vocabSize } = model.config;
  const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabSize);
  await fitProjections(heads, [ids(256)], { sequenceLength: 64, positions: 256 });
  for (const fill of fillsTried) {
    const plain: Run[] = [];
    const early: Run[] = [];
    const ratios: number[] = [];
    // A small model runs for long before all of its code is compiled.
    for (let started = performance.now(); performance.now() - started < WARM_UP;) {
      await runOnce(heads, ids(PROMPT), fill);
    }
    const times = await measureUnitTimes(heads, { fill, context: PROMPT + (TOKENS >> 1), now });
    for (let round = 0; round < rounds; round++) {
      const off = await runOnce(heads, ids(PROMPT), undefined);
      const on = await runOnce(heads, ids(PROMPT), fill);
      plain.push(off);
      early.push(on);
      ratios.push(off.time / on.time);
    }
    // The mean of the times before and after makes up for a drift of the machine.
    const again = await measureUnitTimes(heads, { fill, context: PROMPT + (TOKENS >> 1), now });
    const predict = (ledger: LedgerReport): number =>
      (predictTime(ledger, times) + predictTime(ledger, again)) / 2 / TOKENS;
    const predictedPlain = predict(plain[0]!.ledger);
    const predictedEarly = predict(early[0]!.ledger);
    const measured = timingOf(ratios).median;
    const predicted = predictedPlain / predictedEarly;
    const plainTime = timingOf(plain.map(({ time }) => time)).median;
    results.push({
      model: name,
      fill,
      measured,
      predicted,
      share: measured / predicted,
      plain: plainTime,
      outside: 1 - predictedPlain / plainTime,
    });
    console.error(
      `${name}, ${fill}: measured ${measured.toFixed(3)}x, ` +
        `predicted ${predicted.toFixed(3)}x, ${percent(measured / predicted)}`,
    );
  }
  heads.dispose();
  model.dispose();
  await device.dispose();
}

interface Run {
  /** Milliseconds per token. */
  readonly time: number;
  readonly ledger: LedgerReport;
}

async function runOnce(heads: ExitHeads, prompt: readonly number[], fill: FillName | undefined): Promise<Run> {
  let token = 0;
  // A threshold below every entropy: the head is evaluated, and the token stays.
  const observer: DecodeObserver = {
    observe: () => undefined,
    thresholds: () => heads.depths.map((_, exit) => (leaves(token) === exit ? "always" : -1)),
  };
  const run = generate(heads, prompt, {
    maxNewTokens: TOKENS,
    stopAtEndOfText: false,
    now,
    ...(fill !== undefined && { policy: createPolicy(heads, -1, { fill }), observer }),
  });
  for await (const { depth } of run) {
    if (depth > 0) token++;
  }
  return { time: 1000 / run.summary.tokensPerSecond, ledger: run.summary.ledger };
}

/** Processor time of all threads of this process, in milliseconds. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const report: Report = {
  name: "exits",
  title: "Lossy decoding against its ledger",
  machine: where,
  data: { rounds, results },
  tables: [
    {
      title: "Measured and predicted speedup",
      note: prose`
        One thread, ${options.clock === "cpu" ? "processor time (the machine was shared)" : "wall clock"}, greedy, a
        prompt of ${PROMPT} and ${TOKENS} tokens, medians of ${rounds} interleaved pairs of runs. Half of the tokens
        leave at the first exit, a quarter at the second (by a pattern, not by the heads' scores); lowRank heads, all
        counted. Predicted: the ledger's counts times the times of a block, head, fill and final head measured before
        and after the runs. "outside" is the share of plain decoding's time that these units do not explain.`,
      columns: ["model", "fill", "plain ms/token", "measured speedup", "predicted", "measured / predicted", "outside"],
      rows: results.map(({ model, fill, plain, measured, predicted, share, outside }) => [
        model,
        fill,
        plain,
        measured.toFixed(3),
        predicted.toFixed(3),
        percent(share),
        percent(outside),
      ]),
    },
  ],
};
await writeReport(options.out, report);
console.log(toMarkdown(report));
