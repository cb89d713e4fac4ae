/** The attacks in parts, each of which can be kept in a file: a run that was stopped goes on with the next part. */
import { join } from "node:path";
import { type Device, loadModel, type Model } from "early-exits";
import { memorySource } from "early-exits/model";
import { createDevice, fileExists, readJson, writeFileAtomic } from "early-exits/node";
import { smallCheckpoint, smallConfigs } from "../../test/support/models.js";
import { type Campaign, runCampaign } from "./campaign.js";
import { type DiskCounts, tortureDisks } from "./commands/disks.js";
import { killCommands, type KillCounts } from "./commands/kills.js";
import { filesOf, hostileFolder, useFolder } from "./hostile-folders.js";
import { hostileHeads, soundHeads, useHeads } from "./hostile-heads.js";
import { hostileTokenizer, useTokenizer } from "./hostile-tokenizers.js";
import { pressMemory, type PressureCounts } from "./memory-pressure.js";

interface TortureOptions {
  /** 1: the counts that the report names. */
  readonly scale: number;
  /** Each part has a seed of its own, made from this one. */
  readonly seed: number;
  /** A folder for the results of parts. @default none are kept */
  readonly keep?: string | undefined;
  /** Hears what has been done. */
  readonly note: (text: string) => void;
}

/** Outcomes of all attacks. */
interface TortureResults {
  readonly campaigns: readonly Campaign[];
  readonly kills: KillCounts;
  readonly disks: DiskCounts;
  readonly pressure: PressureCounts;
}

/** Parts of each kind. */
const PARTS = 5;
/** Attacks of each kind at scale 1. */
const COUNTS = {
  folders: 2000,
  tokenizers: 500,
  heads: 2000,
  kills: 960,
  processes: 40,
  disks: 1000,
  requests: 10_000,
} as const;

/** Runs all attacks. Throws an Error with the seed and the counterexample of the first wrong outcome. */
export async function runTorture(options: TortureOptions): Promise<TortureResults> {
  const device = await createDevice("wasm", { threads: 1 });
  try {
    const config = smallConfigs["llama"]!;
    const model = await loadModel(config, memorySource(await smallCheckpoint(config)), { device });
    const campaigns: Campaign[] = [];
    for (const run of campaignsOn(device, model)) campaigns.push(mergeCampaigns(await inParts(run, options)));
    return {
      campaigns,
      kills: mergeCounts(await inParts(killing, options)),
      disks: mergeCounts(await inParts(failing, options)),
      pressure: sumOf(await inParts(pressing, options)),
    };
  } finally {
    await device.dispose();
  }
}

/** Attacks of one kind. */
interface Kind<T> {
  readonly name: string;
  readonly run: (part: Part) => Promise<T>;
}

interface Part {
  readonly index: number;
  readonly seed: number;
  /** This part's share of a count at scale 1. */
  readonly share: (count: number) => number;
}

async function inParts<T>({ name, run }: Kind<T>, { scale, seed, keep, note }: TortureOptions): Promise<T[]> {
  const results: T[] = [];
  for (let index = 0; index < PARTS; index++) {
    const path = keep === undefined ? undefined : join(keep, `${name} ${index}, seed ${seed}, scale ${scale}.json`);
    if (path !== undefined && (await fileExists(path))) {
      results.push((await readJson(path)) as T);
      continue;
    }
    const part: Part = { index, seed: PARTS * seed + index, share: (count) => Math.ceil((scale * count) / PARTS) };
    const result = await run(part);
    if (path !== undefined) await writeFileAtomic(path, JSON.stringify(result));
    note(`${name}: part ${index + 1} of ${PARTS}`);
    results.push(result);
  }
  return results;
}

function campaignsOn(device: Device, model: Model): Kind<Campaign>[] {
  const used = (): number => device.memory!().used;
  return [
    {
      name: "folders",
      run: ({ seed, share }) =>
        runCampaign(
          "folders",
          hostileFolder,
          async (hostile) => {
            const files = await filesOf(hostile);
            const bytes = Object.values(files).reduce((sum, { length }) => sum + length, 0);
            return { bytes, run: () => useFolder(files, device) };
          },
          { attacks: share(COUNTS.folders), seed, used },
        ),
    },
    {
      name: "tokenizers",
      run: ({ seed, share }) =>
        runCampaign(
          "tokenizers",
          hostileTokenizer,
          (hostile) => Promise.resolve({ bytes: 0, run: () => useTokenizer(hostile) }),
          { attacks: share(COUNTS.tokenizers), seed },
        ),
    },
    {
      name: "folders of heads",
      run: ({ seed, share }) =>
        runCampaign(
          "folders of heads",
          hostileHeads,
          async (hostile) => {
            await soundHeads(hostile.pair, model);
            return { bytes: 0, run: () => useHeads(hostile, model) };
          },
          { attacks: share(COUNTS.heads), seed, used },
        ),
    },
  ];
}

const killing: Kind<KillCounts> = {
  name: "kills",
  run: ({ index, seed, share }) =>
    killCommands({
      kills: share(COUNTS.kills),
      first: index * share(COUNTS.kills),
      processes: share(COUNTS.processes),
      seed,
    }),
};

const failing: Kind<DiskCounts> = {
  name: "disks",
  run: ({ seed, share }) => tortureDisks({ runs: share(COUNTS.disks), seed }),
};

const pressing: Kind<PressureCounts> = {
  name: "requests",
  run: ({ seed, share }) => pressMemory({ requests: share(COUNTS.requests), seed }),
};

function mergeCampaigns(parts: readonly Campaign[]): Campaign {
  const { name, seed } = parts[0]!;
  const total = (count: (part: Campaign) => number): number => parts.reduce((sum, part) => sum + count(part), 0);
  return {
    name,
    seed,
    attacks: total(({ attacks }) => attacks),
    succeeded: total(({ succeeded }) => succeeded),
    refused: total(({ refused }) => refused),
    codes: sumOf(parts.map(({ codes }) => codes)),
    slowestMilliseconds: Math.max(...parts.map(({ slowestMilliseconds }) => slowestMilliseconds)),
    mostBytes: Math.max(...parts.map(({ mostBytes }) => mostBytes)),
  };
}

/** Counts with the outcomes behind them, added up. */
function mergeCounts<T extends { readonly outcomes: Readonly<Record<string, number>> }>(parts: readonly T[]): T {
  const numbers = parts.map((part) =>
    Object.fromEntries(Object.entries(part).filter(([, it]) => typeof it === "number")),
  );
  return { ...sumOf(numbers), outcomes: sumOf(parts.map(({ outcomes }) => outcomes)) } as unknown as T;
}

/** Adds up what has the same name. */
function sumOf<T extends object>(records: readonly T[]): T {
  const sum: Record<string, number> = {};
  for (const record of records) {
    for (const [name, count] of Object.entries(record)) sum[name] = (sum[name] ?? 0) + (count as number);
  }
  return sum as T;
}
