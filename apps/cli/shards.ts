/**
 * Work shared by processes. `--shard 3/8` does the third share of eight and leaves its findings in the folder of
 * `--store`; the same command without `--shard` takes them from there, and finds what is missing. `--shard auto` asks
 * the engine that started the process:
 *   Slurm array             SLURM_ARRAY_TASK_ID, _COUNT (and _MIN, _MAX, if the array does not begin at 0)
 *   Kubernetes Indexed Job  JOB_COMPLETION_INDEX; the number of completions is not in the environment: "auto/8"
 *   AWS Batch array         AWS_BATCH_JOB_ARRAY_INDEX, AWS_BATCH_JOB_ARRAY_SIZE
 *   MPI-like launchers      RANK, WORLD_SIZE
 * Indices begin at 0; unit u belongs to shard u mod n.
 */
import { OptionError } from "early-exits";
import type { CacheStore } from "early-exits/exits";
import { folderStore } from "early-exits/node";
import type { OptionDefinition, SettingsOf } from "./command.js";
import { refuseIf } from "./io.js";

export const shardOptions = [
  {
    flags: "--store <folder>",
    description: "keep there what is found in each document or prompt, and continue from it; shards share the folder",
  },
  {
    flags: "--shard <i/n>",
    description:
      "only fill --store, with share i of n, from 0; auto, or auto/n, asks Slurm, Kubernetes, AWS Batch or RANK",
  },
] as const satisfies readonly OptionDefinition[];

type ShardSettings = SettingsOf<typeof shardOptions>;

/** undefined without --shard. Throws a UsageError or an OptionError. */
export function openShard(
  command: string,
  { shard, store, out }: ShardSettings & { readonly out?: string | undefined },
): Shard | undefined {
  if (shard === undefined) return undefined;
  refuseIf(store === undefined, `${command}: --shard needs --store, the folder that all shards fill`);
  refuseIf(
    out !== undefined,
    `${command}: --out does not go with --shard; the same command without --shard writes the file`,
  );
  return readShard(shard);
}

/** The store, as an option; none without --store. */
export function storeOf({ store }: ShardSettings): { readonly store?: CacheStore } {
  return store === undefined ? {} : { store: folderStore(store) };
}

export function inShare(unit: number, { index, of }: Shard): boolean {
  return unit % of === index;
}

export function shareOf<Unit>(units: readonly Unit[], shard: Shard): Unit[] {
  return units.filter((_, unit) => inShare(unit, shard));
}

export function nameOf({ index, of }: Shard): string {
  return `shard ${index} of ${of}`;
}

/** `index` is in [0, of). */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Larger counts are mistakes, such as a job's number. */
const MOST = 1_000_000;

/**
 * Reads "i/n", "auto" or "auto/n". Throws an OptionError for anything else, or if the environment names no shard, or
 * two.
 */
export function readShard(text: string, environment: Environment = process.env): Shard {
  const [, first, count] = /^(\d+|auto)(?:\/(\d+))?$/.exec(text) ?? [];
  if (first === undefined || (first !== "auto" && count === undefined)) {
    throw new OptionError(
      "shard-malformed",
      `--shard ${text}: expected i/n with i from 0, such as 0/8; auto, which asks the engine that started this; ` +
        "or auto/n",
      { found: text },
    );
  }
  const given = count === undefined ? undefined : Number(count);
  if (first !== "auto") return checked({ index: Number(first), of: given! }, text);
  const { engine, index, of } = toldBy(environment);
  if (of !== undefined && given !== undefined && of !== given) {
    throw new OptionError(
      "shard-contradicted",
      `--shard ${text}: ${engine} runs ${of} tasks, not ${given}; give "auto" alone, or start ${given} tasks`,
      { given, found: of },
    );
  }
  const total = of ?? given;
  if (total === undefined) {
    throw new OptionError(
      "shard-count",
      `--shard auto: ${engine} does not tell the number of shards; give it too, as in --shard auto/8`,
      { engine },
    );
  }
  return checked({ index, of: total }, text);
}

function checked(shard: Shard, text: string): Shard {
  const { index, of } = shard;
  if (of >= 1 && of <= MOST && index < of) return shard;
  throw new OptionError(
    "shard-range",
    `--shard ${text}: shard ${index} of ${of}; indices run from 0 to the number of shards less 1, and there are at ` +
      `most ${MOST} shards`,
    { index, of },
  );
}

/** Variables that hold a task's index and the number of tasks. */
const ENGINES = [
  { engine: "Slurm", task: "SLURM_ARRAY_TASK_ID", tasks: "SLURM_ARRAY_TASK_COUNT" },
  { engine: "the Kubernetes Job", task: "JOB_COMPLETION_INDEX", tasks: undefined },
  { engine: "AWS Batch", task: "AWS_BATCH_JOB_ARRAY_INDEX", tasks: "AWS_BATCH_JOB_ARRAY_SIZE" },
  { engine: "the launcher (RANK)", task: "RANK", tasks: "WORLD_SIZE" },
] as const;

/** Throws an OptionError if no engine says, or two disagree. */
function toldBy(environment: Environment) {
  const told = ENGINES.flatMap(({ engine, task, tasks }) => {
    const index = integerIn(environment, task);
    if (index === undefined) return [];
    const of = tasks && integerIn(environment, tasks);
    return [{ engine, index: engine === "Slurm" ? index - firstTask(environment, of) : index, of }];
  });
  const [first, ...others] = told;
  if (first === undefined) {
    throw new OptionError(
      "shard-untold",
      "--shard auto: no engine says which shard this is (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, " +
        "AWS_BATCH_JOB_ARRAY_INDEX and RANK are not set); give the shard, as in --shard 0/8",
    );
  }
  const other = others.find(({ index, of }) => index !== first.index || (of ?? first.of) !== (first.of ?? of));
  if (other === undefined) return { ...first, of: first.of ?? others.find(({ of }) => of !== undefined)?.of };
  throw new OptionError(
    "shard-contradicted",
    `--shard auto: ${first.engine} says shard ${first.index}, ${other.engine} says shard ${other.index}; give the ` +
      "shard, as in --shard 0/8",
    { found: [first.engine, other.engine] },
  );
}

/** The index of the first task of an array. Throws an OptionError for an array with gaps. */
function firstTask(environment: Environment, of: number | undefined): number {
  const first = integerIn(environment, "SLURM_ARRAY_TASK_MIN") ?? 0;
  const last = integerIn(environment, "SLURM_ARRAY_TASK_MAX");
  if (of === undefined || last === undefined || last - first + 1 === of) return first;
  throw new OptionError(
    "shard-gaps",
    `--shard auto: the Slurm array runs ${of} tasks from ${first} to ${last}; leave no gaps, as in --array=0-7, or ` +
      'give the shard from "$SLURM_ARRAY_TASK_ID"',
    { of, first, last },
  );
}

function integerIn(environment: Environment, name: string): number | undefined {
  const text = environment[name];
  if (text === undefined || text === "") return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new OptionError("shard-malformed", `--shard auto: ${name} is ${JSON.stringify(text)}, not an integer`, {
    name,
    found: text,
  });
}
