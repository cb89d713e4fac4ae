/** The options of commands whose work can be shared, and writing one round of a part under a progress line. */
import { chunkSize, type PartRun, readShard, type Shard, writePart } from "../../node/parts/index.js";
import type { OptionDefinition } from "../command.js";
import { type Io, note, UsageError } from "../io.js";
import { withProgress } from "../progress.js";

export interface ShardSettings {
  readonly shard?: string | undefined;
  readonly parts?: string | undefined;
}

export const shardOptions: readonly OptionDefinition[] = [
  {
    flags: "--shard <i/n>",
    description:
      "do only share i of n, from 0, and write it to --parts; auto, or auto/n, asks Slurm, Kubernetes, AWS or RANK",
  },
  { flags: "--parts <folder>", description: "where every shard writes its part, for early-exits merge" },
];

/** Which share is this process's, and where parts are. */
export interface PartPlace {
  readonly shard: Shard;
  readonly folder: string;
}

/** The place that a command line names; undefined if it shares nothing. Throws a UsageError or a ShardError. */
export function openPlace(command: string, { shard, parts }: ShardSettings): PartPlace | undefined {
  if (shard === undefined && parts === undefined) return undefined;
  if (shard === undefined || parts === undefined) {
    throw new UsageError(`${command}: --shard and --parts go together: which share this is, and where it is written`);
  }
  return { shard: readShard(shard), folder: parts };
}

/** Throws a UsageError if options are given that only the whole result, or one process, can serve. */
export function requireWhole(command: string, given: Readonly<Record<string, unknown>>, advice: string): void {
  const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined) throw new UsageError(`${command}: ${name} does not go with --shard; ${advice}`);
}

/**
 * Writes this shard's part of a round; what is there already is kept. `work.chunk` is the most units that one chunk
 * has: what a process loses at most when it is killed.
 */
export async function writeRound(
  io: Io,
  { shard, folder }: PartPlace,
  work: PartRun,
  make: (units: readonly number[]) => Promise<Uint8Array>,
): Promise<void> {
  const run = { ...work, chunk: chunkSize(shard, work.units, work.chunk) };
  const complete = await withProgress(io, run.command, (report) =>
    writePart(folder, shard, run, make, {
      onChunk: ({ done, total }) => report({ done, total, text: `${run.round} of shard ${shard.index}` }),
    }),
  );
  const state = complete ? "was complete already" : "is complete";
  note(io, `shard ${shard.index} of ${shard.of}: the part of the round "${run.round}" ${state}`);
}
