/**
 * Commands that are killed: at every call that changes a file, and as processes, by SIGKILL, at any moment of their
 * lives. What is left is judged by jobs.ts.
 */
import { spawn } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRng } from "early-exits/tensor";
import { startFakeHub } from "../../test/node/hub/fake-hub.js";
import { tinyRepo } from "../../test/node/hub/support.js";
import { contentsOf, type Job, makeJobs, type ProcessLine, recover } from "./jobs.js";
import { mortalFiles } from "./mortal-files.js";

export interface KillCounts {
  readonly kills: number;
  /** Commands by name, and what became of their folders. */
  readonly outcomes: Readonly<Record<string, number>>;
}

export interface KillOptions {
  /** How many kills; they go through the calls of each command, in turn. */
  readonly kills: number;
  /** How many processes of the command line are killed with SIGKILL. @default 0 */
  readonly processes?: number;
  /** Seeds the moments at which processes are killed. @default 1 */
  readonly seed?: number;
}

/** Runs so many kills. Throws an Error that names the command and the call at which it was killed. */
export async function killCommands({ kills, processes = 0, seed = 1 }: KillOptions): Promise<KillCounts> {
  const folder = await mkdtemp(join(tmpdir(), "early-exits-kills-"));
  const files = mortalFiles();
  const hub = await startFakeHub({ "org/tiny": tinyRepo });
  const outcomes: Record<string, number> = {};
  let done = 0;
  try {
    const jobs = await makeJobs(folder, hub.url);
    const wanted = await Promise.all(jobs.map((job) => contentsOf(join(folder, `${job.name}-straight`), job.results)));
    for (let calls = 0; done < kills; calls++) {
      for (const [i, job] of jobs.entries()) {
        if (done === kills) break;
        const out = join(folder, "killed");
        await rm(out, { recursive: true, force: true });
        if (job.before !== undefined) await cp(job.before, out, { recursive: true });
        const torn = calls % 2 === 1;
        files.dieAfter(calls % MOST_CALLS, torn);
        const { ok } = await job.run(out, false);
        files.revive();
        const where = `${job.name}, killed at call ${calls % MOST_CALLS}${torn ? " with half of its bytes" : ""}`;
        const outcome = await recover(job, out, wanted[i]!, where);
        const key = `${job.name}: ${ok ? "ended before the kill" : outcome}`;
        outcomes[key] = (outcomes[key] ?? 0) + 1;
        done++;
      }
    }
    files.revive();
    const rng = createRng(seed);
    const lives = new Map<Job, number>();
    for (let i = 0; i < processes; i++) {
      const job = jobs[i % jobs.length]!;
      const out = join(folder, "killed");
      const begin = async (): Promise<ProcessLine> => {
        await rm(out, { recursive: true, force: true });
        if (job.before !== undefined) await cp(job.before, out, { recursive: true });
        return job.line(out);
      };
      const life = lives.get(job) ?? (await runProcess(await begin(), Infinity));
      lives.set(job, life);
      const delay = life * (0.3 + 0.8 * rng.uniform()); // before that, Node is still starting
      await runProcess(await begin(), delay);
      const where = `${job.name}, its process killed after ${delay.toFixed(0)} of ${life.toFixed(0)} ms`;
      const key = `${job.name}, a process: ${await recover(job, out, wanted[jobs.indexOf(job)]!, where)}`;
      outcomes[key] = (outcomes[key] ?? 0) + 1;
    }
    return { kills: done + processes, outcomes };
  } finally {
    files.restore();
    await hub.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** More than any of the commands makes. */
const MOST_CALLS = 64;

/** Runs a command line in a process, and kills it after so many milliseconds. Resolves to how long it lived. */
async function runProcess({ argv, env }: ProcessLine, delay: number): Promise<number> {
  const program = join(import.meta.dirname, "../../src/cli/main.ts");
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
