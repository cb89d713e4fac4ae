/**
 * Attacks on the package, and their report, bench/reports/torture.md: `npm run torture -- [--scale 1] [--seed 1]`.
 * Scale 1 means 2,000 folders, 500 tokenizers, 2,000 folders of heads, 1,000 kills, 45 killed processes, 1,000 runs on
 * bad disks and 10,000 requests against a device of fixed memory. The first wrong outcome ends it, with its seed and
 * counterexample.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadModel } from "early-exits";
import { memorySource } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { smallCheckpoint, smallConfigs } from "../test/support/models.js";
import { machine, reportsFolder, writeReport } from "./report/index.js";
import {
  type Campaign,
  filesOf,
  hostileFolder,
  hostileHeads,
  hostileTokenizer,
  killCommands,
  pressMemory,
  runCampaign,
  soundHeads,
  tortureDisks,
  useFolder,
  useHeads,
  useTokenizer,
} from "./torture/index.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: reportsFolder },
  },
});
const seed = Number(values.seed);
const scaled = (count: number): number => Math.ceil(count * Number(values.scale));
const started = performance.now();
const note = (text: string): void => {
  console.error(`${((performance.now() - started) / 1000).toFixed(0)} s: ${text}`);
};

const device = await createDevice("wasm", { threads: 1 });
const used = (): number => device.memory!().used;
const config = smallConfigs["llama"]!;
const model = await loadModel(config, memorySource(await smallCheckpoint(config)), { device });

const campaigns: Campaign[] = [];
const finish = (campaign: Campaign): void => {
  campaigns.push(campaign);
  note(`${campaign.attacks} ${campaign.name}`);
};
finish(
  await runCampaign(
    "folders",
    hostileFolder,
    async (hostile) => {
      const files = await filesOf(hostile);
      const bytes = Object.values(files).reduce((sum, { length }) => sum + length, 0);
      return { bytes, run: () => useFolder(files, device) };
    },
    { attacks: scaled(2000), seed, used },
  ),
);
finish(
  await runCampaign(
    "tokenizers",
    hostileTokenizer,
    (hostile) => Promise.resolve({ bytes: 0, run: () => useTokenizer(hostile) }),
    { attacks: scaled(500), seed },
  ),
);
finish(
  await runCampaign(
    "folders of heads",
    hostileHeads,
    async (hostile) => {
      await soundHeads(hostile.pair, model);
      return { bytes: 0, run: () => useHeads(hostile, model) };
    },
    { attacks: scaled(2000), seed, used },
  ),
);
const kills = await killCommands({ kills: scaled(1000), processes: scaled(45), seed });
note(`${kills.kills} kills`);
const disks = await tortureDisks({ runs: scaled(1000), seed });
note(`${disks.runs} runs on bad disks`);
const pressure = await pressMemory({ requests: scaled(10_000), seed });
note(`${pressure.requests} requests`);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
await writeReport(values.out, {
  name: "torture",
  title: `Attacks: every outcome was a success or a typed error (seed ${seed}, scale ${values.scale})`,
  machine: machine(),
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
        `${kills.kills.toLocaleString("en")} kills, at every call that changes a file (every second one after half ` +
        "of its bytes), and of processes by SIGKILL. Afterwards the result is that of an undisturbed run, byte for " +
        "byte; finished work of an earlier run is there, whole, until the new one replaces it; no temporary file " +
        "stays.",
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
  data: { campaigns, kills, disks, pressure },
});
await device.dispose();
note(join(values.out, "torture.md"));
