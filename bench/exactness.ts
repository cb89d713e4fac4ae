/**
 * Is lossless decoding lossless on real weights?
 *   npx tsx bench/exactness.ts [--prompts 200] [--tokens 128] [--steps 300] [--out FOLDER]
 * Compares plain greedy with lossless decoding on held-out stories, bit for bit, on every device, weight type and
 * number of threads: stories260K (../shared/fixtures) with heads trained here. Also measures tokens per round,
 * acceptance, bytes and wall clock. Writes lossless-exactness.{md,json}; the exit status is 1 if a token or a logit
 * differs.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  generate,
  type Policy,
  serializeHeads,
  splitDocuments,
  trainHeads,
  type WeightDtype,
} from "early-exits";
import { deserializeHeads } from "../src/exits/heads/deserialize-heads.js";
import { createDevice, readModel, readText } from "early-exits/node";
import { weightDtypes } from "../src/tensor/device.js";
import { checkLossless, freeRows, type LosslessCheck } from "../lab/check-lossless.js";
import { describeMachine, machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { reportsFolder } from "../lab/report/script.js";
import { toMarkdown, writeReport } from "../lab/report/report.js";
import { drain, timingOf } from "../lab/speed/timing.js";

const fixtures = fileURLToPath(new URL("../../shared/fixtures", import.meta.url));
const folder = `${fixtures}/models/stories260K`;
const { values: options } = parseArgs({
  options: {
    prompts: { type: "string", default: "200" },
    tokens: { type: "string", default: "128" },
    steps: { type: "string", default: "300" },
    out: { type: "string", default: reportsFolder },
  },
});
const prompts = Number(options.prompts);
const maxNewTokens = Number(options.tokens);
const steps = Number(options.steps);
const where = machine();
console.error(describeMachine(where));

const { train, held } = splitDocuments(await readText(`${fixtures}/text/tinystories_clean.jsonl`), {
  train: 0.75,
  seed: 1,
});
const trainer = await createDevice("wasm");
const trained = attachHeads(await readModel(folder, { device: trainer }), { exits: [2, 3, 4] });
await trainHeads(trained, train, { steps });
if (held.length < prompts) {
  throw new Error(`exactness: --prompts ${prompts}, but there are ${held.length} held-out stories; ask for fewer`);
}
const stored = await serializeHeads(trained);
const texts = held.slice(0, prompts).map((document) => trained.model.tokenizer.encode(document).slice(0, 16));
await trainer.dispose();

/** Many drafts, even though they gain little here: the subject is verification. */
const lossless = { costs: freeRows };

interface Run {
  readonly device: string;
  readonly dtype: WeightDtype;
  readonly check: LosslessCheck;
  readonly plainMs: number;
  readonly losslessMs: number;
}

/** Milliseconds per prompt, medians of alternating runs. */
async function time(
  heads: ExitHeads,
  policy: Policy,
  texts: readonly (readonly number[])[],
): Promise<{ plainMs: number; losslessMs: number }> {
  const times = { plain: [] as number[], lossless: [] as number[] };
  const run = async (way: keyof typeof times, text: readonly number[]): Promise<void> => {
    const options = { maxNewTokens, stopAtEndOfText: false, ...(way === "lossless" && { policy, lossless }) };
    const from = performance.now();
    await drain(generate(heads, text, options));
    times[way].push(performance.now() - from);
  };
  for (const [i, text] of texts.entries()) {
    const order = i % 2 === 0 ? (["plain", "lossless"] as const) : (["lossless", "plain"] as const);
    for (const way of order) await run(way, text);
  }
  return { plainMs: timingOf(times.plain).median, losslessMs: timingOf(times.lossless).median };
}

const runs: Run[] = [];
for (const [device, threads] of [
  ["reference", 1],
  ["wasm", 1],
  ["wasm", 2],
] as const) {
  for (const dtype of weightDtypes) {
    const opened = await createDevice(device, device === "wasm" ? { threads } : {});
    const model = await readModel(folder, { device: opened, dtype });
    const heads = await deserializeHeads(model, stored.description, stored.weights);
    const policy = createPolicy(heads, 0.6, { score: "maxProb" });
    // The reference device runs plain loops and is slow.
    const some = device === "reference" ? texts.slice(0, Math.ceil(prompts / 10)) : texts;
    const check = await checkLossless(heads, some, { policy, lossless, maxNewTokens, stopAtEndOfText: false });
    const run = {
      device: device === "wasm" ? `wasm, ${threads} thread${threads > 1 ? "s" : ""}` : device,
      dtype,
      check,
      ...(await time(heads, policy, some)),
    };
    runs.push(run);
    console.error(
      `${run.device} ${dtype}: ${check.prompts - check.flips} of ${check.prompts} texts ` +
        `equal, ${check.equalBits} of ${check.tokens} logits`,
    );
    await opened.dispose();
  }
}
const report = {
  name: "lossless-exactness",
  title: "Lossless decoding on stories260K, bit for bit",
  machine: where,
  data: runs,
  tables: [
    {
      title: "Plain greedy against lossless decoding",
      note: prose`
        The first 16 tokens of ${prompts} held-out stories (a tenth of them on the reference device),
        ${maxNewTokens} new tokens each. Dense heads after blocks 2, 3 and 4 of 5, ${steps} steps of training; a head
        drafts if the probability of its token is at least 0.6; at most four drafts a round. MB are of weights, per
        token; milliseconds are per text, medians of alternating runs.`,
      columns: [
        "device",
        "weights",
        "equal texts",
        "tokens",
        "equal logits",
        "tokens/round",
        "accepted",
        "MB/token lossless",
        "plain",
        "ms lossless",
        "plain",
      ],
      rows: runs.map(
        ({ device, dtype, check, plainMs, losslessMs }) =>
          [
            device,
            dtype,
            `${check.prompts - check.flips} of ${check.prompts}`,
            check.tokens,
            check.equalBits,
            check.tokensPerRound,
            percent(check.acceptanceRate),
            check.ledger.weightBytes / check.tokens / 1e6,
            check.plain.weightBytes / check.tokens / 1e6,
            losslessMs,
            plainMs,
          ] as const,
      ),
    },
  ],
};
await writeReport(options.out, report);
console.log(toMarkdown(report));
if (runs.some(({ check }) => check.flips > 0 || check.equalBits < check.tokens)) process.exitCode = 1;
