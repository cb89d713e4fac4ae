/**
 * Which share of the work is this process's: as it is told, "3/8", or as the engine that started it says in its
 * environment, "auto":
 *   Slurm array             SLURM_ARRAY_TASK_ID, _COUNT (and _MIN, _MAX, if the array does not begin at 0)
 *   Kubernetes Indexed Job  JOB_COMPLETION_INDEX; the number of completions is not in the environment: "auto/8"
 *   AWS Batch array         AWS_BATCH_JOB_ARRAY_INDEX, AWS_BATCH_JOB_ARRAY_SIZE
 *   MPI-like launchers      RANK, WORLD_SIZE
 * Indices begin at 0. The work is cut into chunks of units that follow each other; chunk c belongs to shard c mod n.
 */
import { ShardError } from "../../errors.js";

/** One of `of` shards; `index` is in [0, of). */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What an engine says: `of` is missing where the environment does not hold it. */
interface Told {
  readonly engine: string;
  readonly index: number;
  readonly of: number | undefined;
}

/** More shards than these are a mistake, such as a job's number in place of the count. */
const MOST = 1_000_000;

/**
 * Reads "i/n", "auto" or "auto/n". Throws a ShardError if it is none of these, or if the environment does not say, or
 * says twice, which shard this is.
 */
export function readShard(
  text: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Shard {
  const [, first, count] = /^(\d+|auto)(?:\/(\d+))?$/.exec(text) ?? [];
  if (first === undefined || (first !== "auto" && count === undefined)) throw malformed(text);
  const given = count === undefined ? undefined : Number(count);
  if (first !== "auto") return checked({ index: Number(first), of: given! }, text);
  const { engine, index, of } = toldBy(environment);
  if (of !== undefined && given !== undefined && of !== given) {
    throw new ShardError(
      "shard-contradicted",
      `--shard ${text}: ${engine} runs ${of} tasks, not ${given}; give "auto" alone, or start ${given} tasks`,
      { given, found: of },
    );
  }
  const total = of ?? given;
  if (total === undefined) {
    throw new ShardError(
      "shard-count",
      `--shard auto: ${engine} does not tell the number of shards; give it too, as in --shard auto/8`,
      { engine },
    );
  }
  return checked({ index, of: total }, text);
}

/** Work that is cut into chunks. */
export interface Chunked {
  readonly units: number;
  /** Units in a chunk; the last chunk may have fewer. */
  readonly chunk: number;
}

/** The units of a shard, chunk by chunk. */
export function ownChunks({ index, of }: Shard, { units, chunk }: Chunked): number[][] {
  const chunks = Math.ceil(units / chunk);
  return Array.from({ length: Math.max(0, Math.ceil((chunks - index) / of)) }, (_, i) => {
    const first = (index + i * of) * chunk;
    return Array.from({ length: Math.min(chunk, units - first) }, (_unused, u) => first + u);
  });
}

/** Units in a chunk if at most `largest` go into one: fewer if some shards would have nothing else. */
export function chunkSize({ of }: Shard, units: number, largest: number): number {
  return Math.max(1, Math.min(largest, Math.ceil(units / of)));
}

function checked(shard: Shard, text: string): Shard {
  const { index, of } = shard;
  if (of >= 1 && of <= MOST && index < of) return shard;
  throw new ShardError(
    "shard-range",
    `--shard ${text}: shard ${index} of ${of}; indices run from 0 to the number of shards less 1, and there are at ` +
      `most ${MOST} shards`,
    { index, of },
  );
}

/** What the environment says. Throws a ShardError if no engine does, or if two disagree. */
function toldBy(environment: Environment): Told {
  const told = [slurm, kubernetes, awsBatch, launcher].flatMap((ask) => ask(environment) ?? []);
  const [first, ...others] = told;
  if (first === undefined) {
    throw new ShardError(
      "shard-untold",
      "--shard auto: no engine says which shard this is (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, " +
        "AWS_BATCH_JOB_ARRAY_INDEX and RANK are not set); give the shard, as in --shard 0/8",
    );
  }
  const other = others.find(({ index, of }) => index !== first.index || (of ?? first.of) !== (first.of ?? of));
  if (other === undefined) return { ...first, of: first.of ?? others.find(({ of }) => of !== undefined)?.of };
  throw new ShardError(
    "shard-contradicted",
    `--shard auto: ${first.engine} says shard ${first.index}, ${other.engine} says shard ${other.index}; give the ` +
      "shard, as in --shard 0/8",
    { found: [first.engine, other.engine] },
  );
}

function slurm(environment: Environment): Told | undefined {
  const engine = "Slurm";
  const id = integerIn(environment, "SLURM_ARRAY_TASK_ID");
  if (id === undefined) return undefined;
  const of = integerIn(environment, "SLURM_ARRAY_TASK_COUNT");
  const first = integerIn(environment, "SLURM_ARRAY_TASK_MIN") ?? 0;
  const last = integerIn(environment, "SLURM_ARRAY_TASK_MAX");
  if (of !== undefined && last !== undefined && last - first + 1 !== of) {
    throw new ShardError(
      "shard-gaps",
      `--shard auto: the Slurm array runs ${of} tasks from ${first} to ${last}; leave no gaps, as in --array=0-7, or ` +
        'give the shard from "$SLURM_ARRAY_TASK_ID"',
      { of, first, last },
    );
  }
  return { engine, index: id - first, of };
}

function kubernetes(environment: Environment): Told | undefined {
  const index = integerIn(environment, "JOB_COMPLETION_INDEX");
  return index === undefined ? undefined : { engine: "the Kubernetes Job", index, of: undefined };
}

function awsBatch(environment: Environment): Told | undefined {
  const index = integerIn(environment, "AWS_BATCH_JOB_ARRAY_INDEX");
  const of = integerIn(environment, "AWS_BATCH_JOB_ARRAY_SIZE");
  return index === undefined ? undefined : { engine: "AWS Batch", index, of };
}

function launcher(environment: Environment): Told | undefined {
  const index = integerIn(environment, "RANK");
  const of = integerIn(environment, "WORLD_SIZE");
  return index === undefined ? undefined : { engine: "the launcher (RANK)", index, of };
}

function integerIn(environment: Environment, name: string): number | undefined {
  const text = environment[name];
  if (text === undefined || text === "") return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new ShardError("shard-malformed", `--shard auto: ${name} is ${JSON.stringify(text)}, not an integer`, {
    name,
    found: text,
  });
}

function malformed(text: string): ShardError {
  return new ShardError(
    "shard-malformed",
    `--shard ${text}: expected i/n with i from 0, such as 0/8; auto, which asks the engine that started this; ` +
      "or auto/n",
    { found: text },
  );
}
