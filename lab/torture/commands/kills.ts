/**
 * Commands that are killed: at every call that changes a file, and as processes, by SIGKILL, at any moment of their
 * lives. What is left is judged by jobs.ts.
 */
import { spawn } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRng } from "early-exits/tensor";
import { startFakeHub } from "../../../test/node/hub/fake-hub.js";
import { tinyRepo } from "../../../test/node/hub/support.js";
import type { Job, ProcessLine } from "./job.js";
import { contentsOf, makeJobs, recover } from "./jobs.js";
import { mortalFiles } from "./mortal-files.js";

export interface KillCounts {
  readonly kills: number;
  /** Commands by name, and what became of their folders. */
  readonly outcomes: Readonly<Record<string, number>>;
}

interface KillOptions {
  /** Number of kills; they go through the calls of each command, in turn. */
  readonly kills: number;
  /** Number of the first kill: a run that goes on from where another ended. @default 0 */
  readonly first?: number;
  /** Processes of the command line that are killed with SIGKILL. @default 0 */
  readonly processes?: number;
  /** Seeds the moments at which processes are killed. @default 1 */
  readonly seed?: number;
}

/** Of its bytes, what the write at which a command dies leaves: once through all calls with each share. */
const SHARES = [0, 0.5, 1, 0.1, 0.9];

/** Runs so many kills. Throws an Error that names the command and the call at which it was killed. */
export async function killCommands({ kills, first = 0, processes = 0, seed = 1 }: KillOptions): Promise<KillCounts> {
  const folder = await mkdtemp(join(tmpdir(), "early-exits-kills-"));
  const files = mortalFiles();
  const hub = await startFakeHub({ "org/tiny": tinyRepo });
  const outcomes: Record<string, number> = {};
  const out = join(folder, "killed");
  const prepare = async (job: Job): Promise<void> => {
    await rm(out, { recursive: true, force: true });
    if (job.before !== undefined) await cp(job.before, out, { recursive: true });
  };
  try {
    const jobs = await makeJobs(folder, hub.url);
    const wanted = await Promise.all(jobs.map((job) => contentsOf(join(folder, `${job.name}-straight`), job.results)));
    const callsOf = new Map<Job, number>();
    for (let kill = first; kill < first + kills; kill++) {
      const i = kill % jobs.length;
      const job = jobs[i]!;
      if (!callsOf.has(job)) {
        await prepare(job);
        files.dieAfter(Infinity, 0);
        await job.run(out, false);
        callsOf.set(job, files.calls);
      }
      const turn = Math.floor(kill / jobs.length);
      const call = turn % callsOf.get(job)!;
      const share = SHARES[Math.floor(turn / callsOf.get(job)!) % SHARES.length]!;
      await prepare(job);
      files.dieAfter(call, share);
      await job.run(out, false);
      files.revive();
      if (files.calls <= call) throw new Error(`${job.name} ended before its call ${call}`);
      const where = `${job.name}, killed at call ${call} with ${share} of its bytes (kill ${kill})`;
      const key = `${job.name}: ${await recover(job, out, wanted[i]!, where)}`;
      outcomes[key] = (outcomes[key] ?? 0) + 1;
    }
    const rng = createRng(seed);
    const lives = new Map<Job, number>();
    const programs = jobs.filter(({ line }) => line !== undefined);
    for (let i = 0; i < processes; i++) {
      const job = programs[i % programs.length]!;
      const begin = async (): Promise<ProcessLine> => {
        await prepare(job);
        return job.line!(out);
      };
      const life = lives.get(job) ?? (await runProcess(await begin(), Infinity));
      lives.set(job, life);
      const delay = life * (0.3 + 0.8 * rng.uniform()); // before that, Node is still starting
      await runProcess(await begin(), delay);
      const where = `${job.name}, its process killed after ${delay.toFixed(0)} of ${life.toFixed(0)} ms`;
      const key = `${job.name}, a process: ${await recover(job, out, wanted[jobs.indexOf(job)]!, where)}`;
      outcomes[key] = (outcomes[key] ?? 0) + 1;
    }
    return { kills: kills + processes, outcomes };
  } finally {
    files.restore();
    await hub.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs a command line in a process, and kills it after so many milliseconds. Resolves to how long it lived. */
async function runProcess({ argv, env }: ProcessLine, delay: number): Promise<number> {
  const program = join(import.meta.dirname, "../../../apps/cli/main.ts");
  const started = performance.now();
  const child = spawn(process.execPath, ["--import", "tsx", program, ...argv], {
    stdio: "ignore",
    env: { ...process.env, ...env },
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const timer = delay === Infinity ? undefined : setTimeout(() => child.kill("SIGKILL"), delay);
  await ended;
  clearTimeout(timer);
  return performance.now() - started;
}
