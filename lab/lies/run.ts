/**
 * Does the verifier notice lies? 200,000 structured lies without the model, 2,000 with model, heads and text; and what
 * do the largest certificates cost it? Prints, for each kind, how many were told and how many were believed, the
 * slowest answer, and how much memory the process took beyond what it had before.
 *   tsx lab/lies/run.ts [--stored 200000] [--reality 2000] [--seed 1]
 * Exits with 1 if any was believed.
 */
import { parseArgs } from "node:util";
import { attachHeads, verifyCertificate } from "early-exits";
import { calibrateRecords, type CertifyPolicyOptions, recordDocuments } from "early-exits/calibrate";
import { createDevice } from "early-exits/node";
import { createRng } from "early-exits/tensor";
import { smallModel } from "../../test/support/models.js";
import { handmadeRecords } from "../../test/support/records.js";
import { largestCertificate, largestKinds } from "./largest.js";
import { realityLie, realityLies } from "./reality-lies.js";
import { storedLie, storedLies } from "./stored-lies.js";

const { values } = parseArgs({
  options: {
    stored: { type: "string", default: "200000" },
    reality: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
  },
});
const root = createRng(Number(values.seed));
console.log(`seed ${values.seed}, Node ${process.version}`);
let believed = 0;
await tellStored(Number(values.stored));
await tellReality(Number(values.reality));
await askLargest();
process.exitCode = believed === 0 ? 0 : 1;

interface Tally {
  told: number;
  believed: number;
  slowest: number;
}

function newTally(): Tally {
  return { told: 0, believed: 0, slowest: 0 };
}

async function timed(tally: Tally, name: string, verify: () => Promise<{ readonly verdict: string }>): Promise<void> {
  const begin = performance.now();
  const { verdict } = await verify();
  tally.slowest = Math.max(tally.slowest, performance.now() - begin);
  tally.told++;
  if (verdict === "refuted" || verdict === "policy supported") return;
  tally.believed++;
  believed++;
  console.error(`believed: ${name} (${verdict})`);
}

async function tellStored(count: number): Promise<void> {
  const records = handmadeRecords(24);
  const grouped = {
    ...handmadeRecords(60, { seed: 2 }),
    documents: handmadeRecords(60, { seed: 2 }).documents.map((document, d) => ({
      ...document,
      group: (d % 30).toString(16).padStart(64, "0"),
    })),
  };
  const cases: readonly (readonly [typeof records, CertifyPolicyOptions])[] = [
    [records, { agreement: 0.8, candidates: 4 }],
    [records, { agreement: 0.3, loss: "anyChange", candidates: 3 }],
    [grouped, { agreement: 0.7, candidates: 3 }],
    [grouped, { agreement: 0.3, loss: "anyChange", candidates: 3 }],
  ];
  const truths = await Promise.all(cases.map(([from, options]) => calibrateRecords(from, options)));
  const tallies = new Map(storedLies.map((kind) => [kind, newTally()]));
  const memory = watchMemory();
  // Draws that change nothing are no lies, so some kinds take more draws.
  for (const kind of storedLies) {
    const tally = tallies.get(kind)!;
    for (let i = 0; tally.told < Math.ceil(count / storedLies.length); i++) {
      const { certificate } = truths[i % truths.length]!;
      const lie = await storedLie(certificate, kind, root.fork(`stored ${kind} ${i}`));
      if (lie === undefined) continue;
      await timed(tally, `stored ${kind} ${i}`, () => verifyCertificate(lie));
      if (i % 1000 === 0) memory.look();
    }
  }
  show("without the model", tallies, memory.grown);
}

async function tellReality(count: number): Promise<void> {
  const device = await createDevice("wasm");
  const model = await smallModel({ device });
  const heads = attachHeads(model, { exits: [1, 3], kind: "linear" });
  const rng = root.fork("documents");
  const documents = Array.from({ length: 40 }, () => Array.from({ length: 8 + rng.integer(6) }, () => rng.integer(59)));
  const truth = await recordDocuments(heads, documents);
  const tallies = new Map(realityLies.map((kind) => [kind, newTally()]));
  const options = { agreement: 0.3, delta: 0.3 };
  const memory = watchMemory();
  for (let i = 0; i < count; i++) {
    const kind = realityLies[i % realityLies.length]!;
    const lie = await realityLie(truth, options, kind, root.fork(`reality ${i}`));
    if (lie === undefined) continue;
    const stored = await verifyCertificate(lie);
    if (stored.verdict === "refuted") {
      throw new Error(`lies: ${kind} ${i} is not consistent: ${stored.reasons.join("; ")}`);
    }
    await timed(tallies.get(kind)!, `reality ${kind} ${i}`, () =>
      verifyCertificate(lie, { heads, documents, rerun: [0] }),
    );
    memory.look();
  }
  show("with model, heads and text", tallies, memory.grown);
}

/** Measures what the largest certificates cost: processor time, which other processes do not lengthen, and memory. */
async function askLargest(): Promise<void> {
  console.log("\nthe largest certificates");
  for (const kind of largestKinds) {
    const certificate = await largestCertificate(kind);
    const memory = watchMemory();
    const before = process.cpuUsage();
    const { verdict } = await verifyCertificate(certificate);
    const { user, system } = process.cpuUsage(before);
    memory.look();
    console.log(`${kind.padEnd(12)} ${((user + system) / 1000).toFixed(0)} ms, ${memory.grown} more; ${verdict}`);
  }
}

/** By how much the memory of the process grows from now on, as far as it is looked at. */
function watchMemory(): { readonly look: () => void; readonly grown: string } {
  const from = process.memoryUsage.rss();
  let peak = from;
  return {
    look() {
      peak = Math.max(peak, process.memoryUsage.rss());
    },
    get grown() {
      return `${((peak - from) / 2 ** 20).toFixed(0)} MB`;
    },
  };
}

function show(title: string, tallies: ReadonlyMap<string, Tally>, grown: string): void {
  console.log(`\n${title}: ${grown} more memory`);
  for (const [kind, { told, believed: passed, slowest }] of tallies) {
    console.log(`${kind.padEnd(12)} ${told} told, ${passed} believed, slowest answer ${slowest.toFixed(0)} ms`);
  }
}
