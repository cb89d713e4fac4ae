/**
 * Clients of this library's batcher beside clients of llama.cpp, on the same model, in one run:
 *   npm run bench:served -- MODEL [--threads 1,2] [--rounds 5] [--passes 3] [--ours int8,stored] [--work FOLDER]
 *                                 [--out FOLDER]
 * MODEL is a GGUF file. Beside int8, llama.cpp runs it in q8_0 (formats/write-types.ts); beside the weights as stored,
 * it runs the file itself. In each round every way has a process of its own, one after another; every second round goes
 * backwards. A ratio compares two ways in the same round. Writes served.md and served.json to bench/reports.
 */
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { machine } from "../../../lab/report/machine.js";
import { reportsFolder } from "../../../lab/report/script.js";
import { toMarkdown, writeReport } from "../../../lab/report/report.js";
import type { ClientRates } from "../../../lab/read-together.js";
import { headerOf } from "../formats/requantize.js";
import { writeTypes } from "../formats/write-types.js";
import { labelOf, type Way } from "../llm/protocol.js";
import { runChild } from "../run-child.js";
import { installedVersions } from "../versions.js";
import type { ServedAnswer, ServedJob } from "./protocol.js";
import { type OurType, PEERS, type Served, servedReport } from "./report.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "5" },
    passes: { type: "string", default: "3" },
    ours: { type: "string", default: Object.keys(PEERS).join(",") },
    work: { type: "string", default: join(tmpdir(), "early-exits-peers") },
    out: { type: "string", default: reportsFolder },
  },
});
const [model] = positionals;
if (model === undefined) throw new Error("bench:served: a model is missing; usage: npm run bench:served -- FILE.gguf");

const where = machine();
const path = resolve(model);
const vocabSize = headerOf(await readFile(path)).tensors.get("token_embd.weight")!.shape[0]!;
const types = values.ours.split(",") as OurType[];
const threads = values.threads.split(",").map(Number);
const files = await writeTypes(path, types.includes("int8") ? [PEERS.int8] : [], values.work);

const ways: Way[] = types.flatMap((type) =>
  threads.flatMap((count) => [
    { runtime: "ours", type, threads: count } as const,
    { runtime: "node-llama-cpp", type: PEERS[type], threads: count } as const,
  ]),
);
const rounds = new Map<Way, (readonly ClientRates[])[]>(ways.map((way) => [way, []]));
const failures = new Map<Way, string>();
for (let round = 0; round < Number(values.rounds); round++) {
  for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
    if (failures.has(way)) continue;
    const job: ServedJob = {
      ...way,
      path: way.type === PEERS.int8 ? files.get(PEERS.int8)! : path,
      vocabSize,
      passes: Number(values.passes),
    };
    const answer = await runChild<ServedAnswer>(join(import.meta.dirname, "child.ts"), job);
    if (answer.kind === "rates") rounds.get(way)!.push(answer.rates);
    else failures.set(way, answer.reason);
    console.error(`round ${round + 1}: ${labelOf(way)}: ${failures.get(way) ?? "measured"}`);
  }
}

const served: Served[] = ways.map((way) => ({ way, rounds: rounds.get(way)!, failure: failures.get(way) }));
const report = servedReport({ where, model: basename(path), served });
await writeReport(values.out, { ...report, data: { versions: await installedVersions(), ...report.data } });
console.log(toMarkdown(report));
