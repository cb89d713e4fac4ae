/**
 * Attacks on the package, and their report, bench/reports/torture.md:
 *   npm run torture -- [--scale 1] [--seed 1] [--keep FOLDER] [--out FOLDER]
 * Scale 1 means 2,000 folders, 500 tokenizers, 2,000 folders of heads, 1,000 kills (40 of them of processes), 1,000
 * runs on bad disks and 10,000 requests against a device of fixed memory. The first wrong outcome ends it, with its
 * seed and counterexample. What --keep holds is not done again: a run that was stopped goes on.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { machine } from "./report/machine.js";
import { reportsFolder } from "./report/script.js";
import { writeReport } from "./report/report.js";
import { runTorture } from "./torture/parts.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    keep: { type: "string" },
    out: { type: "string", default: reportsFolder },
  },
});
const where = machine();
const seed = Number(values.seed);
const started = performance.now();
const note = (text: string): void => {
  console.error(`${((performance.now() - started) / 1000).toFixed(0)} s: ${text}`);
};
const results = await runTorture({ scale: Number(values.scale), seed, keep: values.keep, note });
const { campaigns, kills, disks, pressure } = results;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
await writeReport(values.out, {
  name: "torture",
  title: `Attacks: every outcome was a success or a typed error (seed ${seed}, scale ${values.scale})`,
  machine: where,
  tables: [
    {
      title: "Hostile files",
      note:
        "Each attack changes a sound folder, tokenizer or heads in one or more places. It must succeed or throw an " +
        "error of this library, within 1 s of processor time and 300 MB above its files, and leave the device's " +
        "memory as it was.",
      columns: ["attacks on", "attacks", "succeeded", "refused", "kinds of refusals", "slowest", "most memory"],
      rows: campaigns.map((one) => [
        one.name,
        one.attacks.toLocaleString("en"),
        one.succeeded.toLocaleString("en"),
        one.refused.toLocaleString("en"),
        String(Object.keys(one.codes).length),
        `${one.slowestMilliseconds.toFixed(0)} ms`,
        megabytes(one.mostBytes),
      ]),
    },
    {
      title: "Kills",
      note:
        `${kills.kills.toLocaleString("en")} kills, at every call that changes a file (a write leaves 0, 10, 50, 90 ` +
        "or 100 % of its bytes), and of processes by SIGKILL. Afterwards the result is that of an undisturbed run, " +
        "byte for byte; finished work of an earlier run is there, whole, until the new one replaces it; no temporary " +
        "file stays. Certificates of a shipment hold times: those of another run than the heads beside them are " +
        "refused.",
      columns: ["command and outcome", "kills"],
      rows: Object.entries(kills.outcomes).map(([outcome, count]) => [outcome, count.toLocaleString("en")]),
    },
    {
      title: "Bad disks",
      note:
        `${disks.runs.toLocaleString("en")} runs on disks that are slow (every call up to 12 ms later), full (after ` +
        "a random number of bytes, in the middle of a write) or lie (a random write keeps 0, 50 or 90 % of its bytes " +
        "and reports success). No run ended in another result without an error, no failed one left a temporary file.",
      columns: ["command, disk and outcome", "runs"],
      rows: Object.entries(disks.outcomes).map(([outcome, count]) => [outcome, count.toLocaleString("en")]),
    },
    {
      title: "Memory pressure",
      note:
        "Requests of random size against a device of 24 MiB. After each, the memory in use is that of what lives; " +
        "every request that fits an empty device succeeds on one; texts are those of a fresh device.",
      columns: ["requests", "sequences opened", "closed", "texts", "refused for lack of room"],
      rows: [Object.values(pressure).map((count: number) => count.toLocaleString("en"))],
    },
  ],
  data: results,
});
note(join(values.out, "torture.md"));
