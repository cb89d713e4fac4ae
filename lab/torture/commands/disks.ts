/**
 * Commands on bad disks (faulty-files.ts). On a slow one the result is that of a fast one. On a full one a command
 * fails with an error of this library and leaves no temporary file; once there is room, it goes on to the same result.
 * A disk that lies cannot be caught in the act: but whoever reads the folder next finds the true result, or is told
 * that it is damaged and what to do, and a run from the start then has the true result.
 */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EarlyExitError } from "early-exits";
import { checkManifest } from "../../../src/model/files/manifest.js";
import { diskFolder } from "../../../src/node/disk-folder.js";
import { settleFolder } from "../../../src/node/folder-transaction.js";
import { createRng, type Rng } from "early-exits/tensor";
import { startFakeHub } from "../../../test/node/hub/fake-hub.js";
import { tinyRepo } from "../../../test/node/hub/support.js";
import { type Fault, faultyFiles } from "./faulty-files.js";
import type { Job } from "./job.js";
import { allFiles, type Contents, contentsOf, isTemporary, makeJobs, recover, same } from "./jobs.js";

export interface DiskCounts {
  readonly runs: number;
  /** Faults and commands, and what became of them. */
  readonly outcomes: Readonly<Record<string, number>>;
}

interface DiskOptions {
  readonly runs: number;
  readonly seed: number;
}

const FAULTS = ["slow", "full", "lying"] as const;

/** Runs so many commands on bad disks. Throws an Error that names the command and the fault. */
export async function tortureDisks({ runs, seed }: DiskOptions): Promise<DiskCounts> {
  const folder = await mkdtemp(join(tmpdir(), "early-exits-disks-"));
  const hub = await startFakeHub({ "org/tiny": tinyRepo });
  const files = faultyFiles();
  const rng = createRng(seed);
  const outcomes: Record<string, number> = {};
  try {
    const jobs = await makeJobs(folder, hub.url);
    const wanted = await Promise.all(jobs.map((job) => contentsOf(join(folder, `${job.name}-straight`), job.results)));
    const usual = new Map<Job, { readonly bytes: number; readonly writes: number }>();
    const out = join(folder, "out");
    const begin = async (job: Job, fault: Fault): ReturnType<Job["run"]> => {
      await rm(out, { recursive: true, force: true });
      if (job.before !== undefined) await cp(job.before, out, { recursive: true });
      files.set(fault);
      return job.run(out, false);
    };
    for (let run = 0; run < runs; run++) {
      const i = run % jobs.length;
      const job = jobs[i]!;
      if (!usual.has(job)) {
        await begin(job, { kind: "none" });
        usual.set(job, files.written);
      }
      const fault = drawFault(FAULTS[Math.floor(run / jobs.length) % FAULTS.length]!, usual.get(job)!, rng);
      const result = await begin(job, fault);
      files.set({ kind: "none" });
      const outcome = await judgeDisk(job, out, { fault, wanted: wanted[i]!, ...result });
      const key = `${job.name}, ${fault.kind} disk: ${outcome}`;
      outcomes[key] = (outcomes[key] ?? 0) + 1;
    }
    return { runs, outcomes };
  } finally {
    files.restore();
    await hub.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A fault within what an undisturbed run writes. */
function drawFault(
  kind: (typeof FAULTS)[number],
  { bytes, writes }: { readonly bytes: number; readonly writes: number },
  rng: Rng,
): Fault {
  if (kind === "slow") return { kind, seed: rng.integer(2 ** 31) };
  if (kind === "full") return { kind, room: rng.integer(bytes) };
  return { kind, write: rng.integer(writes), keeps: [0, 0.5, 0.9][rng.integer(3)]! };
}

interface Ended {
  readonly fault: Fault;
  readonly wanted: Contents;
  readonly ok: boolean;
  readonly said: string;
}

/** Outcome of the fault for the command, and of what it left for a new process. */
async function judgeDisk(job: Job, out: string, { fault, wanted, ok, said }: Ended): Promise<string> {
  const where = `${job.name} on a disk with ${JSON.stringify(fault)}`;
  const fail = (problem: string): never => {
    throw new Error(`${where}: ${problem}`);
  };
  if (!ok && !isTyped(said)) fail(`an error that is not the library's: ${said}`);
  if (fault.kind === "slow") {
    if (!ok || !same(await contentsOf(out, job.results), wanted)) fail(`another result than on a fast one: ${said}`);
    return "the result of a fast one";
  }
  if (fault.kind === "full") {
    if (ok && job.results.length > 0 && !same(await contentsOf(out, job.results), wanted)) fail("it lost a result");
    const left = ok ? [] : (await allFiles(out)).filter(isTemporary);
    if (left.length > 0) fail(`temporary files stay: ${left.join(", ")}`);
    const after = await recover(job, out, wanted, where);
    return ok ? "done, without what did not fit" : `refused, then ${after}`;
  }
  if (!ok) return redone(job, out, wanted, fail, "noticed by the command");
  const refusal = await refusalOf(async () => {
    await settleFolder(out);
    await checkManifest(diskFolder(out));
    await job.read?.(out);
  });
  if (refusal !== undefined) return redone(job, out, wanted, fail, "noticed by the next reader");
  if (!same(await contentsOf(out, job.results), wanted)) fail("a damaged result that nobody notices");
  return "the true result";
}

/** The remedy that errors name: once more from the start, in a folder as it was before. */
async function redone(
  job: Job,
  out: string,
  wanted: Contents,
  fail: (problem: string) => never,
  noticed: string,
): Promise<string> {
  await rm(out, { recursive: true, force: true });
  if (job.before !== undefined) await cp(job.before, out, { recursive: true });
  const { ok, said } = await job.run(out, false);
  if (!ok || !same(await contentsOf(out, job.results), wanted)) {
    fail(`a run from the start has another result: ${said}`);
  }
  return noticed;
}

/** The library's error that a reader throws. */
async function refusalOf(read: () => Promise<unknown>): Promise<EarlyExitError | undefined> {
  try {
    await read();
    return undefined;
  } catch (error) {
    if (error instanceof EarlyExitError) return error;
    throw error;
  }
}

/** True if a message is that of an error of this library: the command line marks all others. */
const isTyped = (said: string): boolean => !/\(unexpected; --debug|^Error: /.test(said);
