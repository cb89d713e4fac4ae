/**
 * Plain and early-exit decoding by an export in onnxruntime-node, beside this library, in one run:
 *   npm run bench:exported -- [MODEL --heads FOLDER --policy FILE] [--threads 1,2] [--rounds 5] [--passes 3]
 *                             [--tokens 48] [--out FOLDER]
 * The model is the embedded one, or a folder or GGUF file, as float32. A policy that was certified for another dtype
 * runs without its certificate. In each round every way has a process of its own, one after another; every second round
 * goes backwards. A ratio compares two ways in the same round. Writes exported.md and exported.json to bench/reports.
 */
import { fork } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { policyFrom } from "early-exits/calibrate";
import { exportOnnx } from "early-exits/export";
import { createDevice, readHeads, readJson, readModel, writeExport, writeFileAtomic } from "early-exits/node";
import { machine, reportsFolder, toMarkdown, withRange, writeReport } from "../../../lab/report/index.js";
import { median, spreadOf } from "../statistics.js";
import { installedVersions } from "../versions.js";
import { type Answer, type Job, labelOf, type Way } from "./job.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    heads: { type: "string", default: "models/sotu-12/heads" },
    policy: { type: "string", default: "models/sotu-12/certificates/95.json" },
    threads: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "5" },
    passes: { type: "string", default: "3" },
    tokens: { type: "string", default: "48" },
    work: { type: "string", default: join(import.meta.dirname, "../work/exported") },
    out: { type: "string", default: reportsFolder },
  },
});
const model = resolve(positionals[0] ?? "models/sotu-12");
const texts = [
  "The state of the union is strong, and the people of this country",
  "In the course of the last year, the government has",
  "We must remember that peace and commerce",
  "The relations of the United States with foreign powers",
];

const where = machine();
const work = resolve(values.work);
await rm(work, { recursive: true, force: true });
const prompts = await writeExports();
const threads = values.threads.split(",").map(Number);
const ways: Way[] = threads.flatMap((count) =>
  (["ours", "onnxruntime-node"] as const).flatMap((runtime) =>
    [false, true].map((exits) => ({ runtime, exits, threads: count })),
  ),
);
const answers = new Map<Way, Answer[]>(ways.map((way) => [way, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
    answers.get(way)!.push(await run(way));
    console.error(`round ${round + 1}: ${labelOf(way)}`);
  }
}

const speedOf = ({ speeds }: Answer): number => median(speeds);
const find = (runtime: Way["runtime"], exits: boolean, count: number): readonly Answer[] =>
  answers.get(ways.find((way) => way.runtime === runtime && way.exits === exits && way.threads === count)!)!;
const ratio = (top: readonly Answer[], bottom: readonly Answer[]): string => {
  const { median: middle, min, max } = spreadOf(top.map((answer, i) => speedOf(answer) / speedOf(bottom[i]!)));
  return withRange({ median: middle, low: min, high: max });
};
const report = {
  name: "exported",
  title: "Exports in onnxruntime-node, beside this library",
  machine: where,
  tables: [
    {
      title: basename(model),
      note:
        `Greedy decoding of ${values.tokens} tokens after ${texts.length} prompts, float32, in tokens per second ` +
        "after the first; median over rounds (slowest to fastest). Ratios compare ways in the same round.",
      columns: ["way", "tokens/s", "blocks per token", "exits / plain", "ours / onnxruntime", "same tokens as ours"],
      rows: ways.map((way) => {
        const own = answers.get(way)!;
        const { median: middle, min, max } = spreadOf(own.map(speedOf));
        const ours = find("ours", way.exits, way.threads);
        const same = own[0]!.ids.filter((id, i) => id === ours[0]!.ids[i]).length;
        return [
          labelOf(way),
          withRange({ median: middle, low: min, high: max }),
          own[0]!.depth,
          way.exits ? ratio(own, find(way.runtime, false, way.threads)) : "",
          way.runtime === "ours" ? ratio(own, find("onnxruntime-node", way.exits, way.threads)) : "",
          `${same} of ${own[0]!.ids.length}`,
        ];
      }),
    },
  ],
  data: { versions: await installedVersions(), answers: ways.map((way) => ({ way, answers: answers.get(way) })) },
};
await writeReport(values.out, report);
console.log(toMarkdown(report));
await rm(work, { recursive: true });

/** Exports the model with and without exits, and returns the prompts as ids. */
async function writeExports(): Promise<number[][]> {
  const device = await createDevice("wasm");
  const loaded = await readModel(model, { device, dtype: "float32" });
  const heads = await readHeads(values.heads, loaded);
  const { certified, ...uncertified } = policyFrom(await readJson(values.policy));
  if (certified !== undefined && certified.dtype !== "float32") {
    console.error(`the policy was certified for ${certified.dtype}; as float32 it promises nothing`);
  }
  await mkdir(work, { recursive: true });
  await writeFileAtomic(join(work, "policy.json"), JSON.stringify(uncertified));
  await writeExport(join(work, "exits"), await exportOnnx(heads, { policy: uncertified }));
  await writeExport(join(work, "plain"), await exportOnnx(loaded));
  const ids = texts.map((text) => loaded.tokenizer.encode(text));
  heads.dispose();
  loaded.dispose();
  await device.dispose();
  return ids;
}

function run(way: Way): Promise<Answer> {
  const job: Job = {
    ...way,
    model,
    heads: resolve(values.heads),
    policy: join(work, "policy.json"),
    exported: join(work, way.exits ? "exits" : "plain"),
    prompts,
    newTokens: Number(values.tokens),
    passes: Number(values.passes),
  };
  return new Promise((done, fail) => {
    const child = fork(join(import.meta.dirname, "child.ts"), [JSON.stringify(job)], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    let answer: Answer | undefined;
    child.on("message", (message) => (answer = message as Answer));
    child.on("close", (code) => {
      if (answer === undefined) fail(new Error(`${labelOf(way)}: its process ended with ${code}`));
      else done(answer);
    });
  });
}
