/**
 * Commands that are killed at every call that changes a file. Afterwards the folder is read as a new process would:
 * what was finished before is there, whole; the command goes on, with --resume if there is a checkpoint, and its result
 * is that of an undisturbed run, byte for byte; no temporary file stays.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkManifest } from "early-exits/model";
import { diskFolder, resolveModel, settleFolder } from "early-exits/node";
import { type Io, main } from "../../src/cli/index.js";
import { startFakeHub } from "../../test/node/hub/fake-hub.js";
import { tinyRepo } from "../../test/node/hub/support.js";
import { mortalFiles } from "./mortal-files.js";

export interface KillCounts {
  readonly kills: number;
  /** Commands by name, and what became of their folders. */
  readonly outcomes: Readonly<Record<string, number>>;
}

export interface KillOptions {
  /** How many kills; they go through the calls of each command, in turn. */
  readonly kills: number;
  /** How many processes of the command line are killed with SIGKILL, each after another time. @default 0 */
  readonly processes?: number;
}

/** A command, and the files that are its result. */
interface Job {
  readonly name: string;
  /** Runs it as a new process would. Resolves to whether it succeeded, and what it said if not. */
  readonly run: (out: string, resume: boolean) => Promise<{ readonly ok: boolean; readonly said: string }>;
  readonly results: readonly string[];
  /** The command line, if a process of its own can run it. */
  readonly argv?: (out: string) => readonly string[];
  /** A folder with finished work of an earlier run, which this one replaces. */
  readonly before?: string;
}

const words = (text: string): string[] => text.trim().split(/\s+/);
const TINY = `--layers 2 --hidden 16 --heads 2 --kv-heads 1 --intermediate 32 --context 64 --vocab 280
  --batch 2 --sequence 16 --validate-every 4 --device reference --steps 4`;
const TRAIN = "--depths 1 --steps 4 --batch 2 --sequence 16 --device reference";

/** Runs so many kills. Throws an Error that names the command and the call at which it was killed. */
export async function killCommands({ kills, processes = 0 }: KillOptions): Promise<KillCounts> {
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
    const apart = jobs.filter(({ argv }) => argv !== undefined);
    for (let i = 0; i < processes; i++) {
      const job = apart[i % apart.length]!;
      const out = join(folder, "killed");
      await rm(out, { recursive: true, force: true });
      if (job.before !== undefined) await cp(job.before, out, { recursive: true });
      const delay = START + (SPAN * i) / processes;
      await killProcess(job.argv!(out), delay);
      const where = `${job.name}, its process killed after ${delay.toFixed(0)} ms`;
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

/** Milliseconds after which processes are killed: from when the first may write to when the last has ended. */
const START = 600;
const SPAN = 2400;

/** Runs a command line in a process, and kills it. */
async function killProcess(argv: readonly string[], delay: number): Promise<void> {
  const program = join(import.meta.dirname, "../../src/cli/main.ts");
  const child = spawn(process.execPath, ["--import", "tsx", program, ...argv], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const timer = setTimeout(() => child.kill("SIGKILL"), delay);
  await ended;
  clearTimeout(timer);
}

type Contents = Readonly<Record<string, string | undefined>>;

/** What a new process finds, and makes of it. */
async function recover(job: Job, out: string, wanted: Contents, where: string): Promise<string> {
  const fail = (problem: string): never => {
    throw new Error(`${where}: ${problem}`);
  };
  await settleFolder(out);
  await checkManifest(diskFolder(out));
  const found = await contentsOf(out, job.results);
  const isNew = job.results.length > 0 && same(found, wanted);
  if (job.before !== undefined && !isNew && !same(found, await contentsOf(job.before, job.results))) {
    fail("the finished work of the earlier run is lost or mixed with the new one");
  }
  const checkpoint = existsSync(join(out, "checkpoint", "state.safetensors"));
  if (!isNew || checkpoint) {
    const { ok, said } = await job.run(out, checkpoint);
    if (!ok) fail(`it does not go on${checkpoint ? " with --resume" : ""}: ${said}`);
    await settleFolder(out);
    if (!same(await contentsOf(out, job.results), wanted)) fail("its result is another than that of a straight run");
  }
  if (isNew && !checkpoint) {
    // Finished. The next run refuses to overwrite it, and clears away what this one could not.
    const { ok, said } = await job.run(out, false);
    if (job.before === undefined && (ok || !said.includes("--force"))) fail(`a new run is not refused: ${said}`);
    if (!same(await contentsOf(out, job.results), wanted)) fail("finished work has changed");
  }
  const left = (await allFiles(out)).filter((name) =>
    /\.tmp$|\.next$|\.commit\.json$|\.done(\/|$)|incomplete$/.test(name),
  );
  if (left.length > 0) fail(`temporary files stay: ${left.join(", ")}`);
  if (isNew) return "finished at the kill";
  return checkpoint ? "resumed from a checkpoint" : "done again";
}

const same = (a: Contents, b: Contents): boolean => JSON.stringify(a) === JSON.stringify(b);

async function contentsOf(folder: string, names: readonly string[]): Promise<Contents> {
  const read = async (name: string): Promise<[string, string | undefined]> => [
    name,
    await readFile(join(folder, name), "base64").catch(() => undefined),
  ];
  return Object.fromEntries(await Promise.all(names.map(read)));
}

const allFiles = (folder: string): Promise<string[]> => readdir(folder, { recursive: true }).catch(() => []);

async function makeJobs(folder: string, endpoint: string): Promise<Job[]> {
  const text = join(folder, "text.txt");
  await writeFile(
    text,
    Array.from({ length: 40 }, (_, i) => `the house holds a river ${i}. one people follows.`).join("\n\n"),
  );
  const command = (argv: (out: string) => string, forced = ""): Job["run"] => {
    return async (out, resume) => {
      const said: string[] = [];
      const ok = (await main(words(`${argv(out)} ${resume ? "--resume" : forced}`), quietIo(said))) === 0;
      return { ok, said: said.join("").slice(-400) };
    };
  };
  const pretrainLine = (out: string): string => `pretrain --text ${text} --out ${out} ${TINY}`;
  const pretrain = command(pretrainLine);
  const model = join(folder, "pretrain-straight");
  await pretrain(model, false);
  const train = (out: string): string => `train ${model} --text ${text} --out ${out} ${TRAIN}`;
  const earlier = join(folder, "earlier");
  await command((out) => `${train(out)} --seed 9`)(earlier, false);
  const heads = { results: ["heads.json", "heads.safetensors"] };
  const jobs: Job[] = [
    {
      name: "pretrain",
      run: pretrain,
      argv: (out) => words(pretrainLine(out)),
      results: ["config.json", "tokenizer.json", "model.safetensors"],
    },
    { name: "train", run: command(train), argv: (out) => words(train(out)), ...heads },
    {
      name: "train-again",
      run: command(train, "--force"),
      argv: (out) => words(`${train(out)} --force`),
      ...heads,
      before: earlier,
    },
    {
      name: "calibrate",
      run: command(
        (out) =>
          `calibrate ${model} --heads ${earlier} --text ${text} --procedure paper --agreement .6 --device reference ` +
          `--out ${join(out, "policy.json")}`,
      ),
      results: [],
    },
    { name: "get", run: (out) => download(endpoint, out), results: [] },
  ];
  for (const job of jobs.slice(1)) await job.run(join(folder, `${job.name}-straight`), false);
  return jobs;
}

/** Downloads a model into a cache of its own. */
async function download(endpoint: string, cache: string): Promise<{ readonly ok: boolean; readonly said: string }> {
  try {
    const { path } = await resolveModel("org/tiny", { endpoint, cache, token: "", backoff: 1, retries: 1 });
    for (const [name, bytes] of Object.entries(tinyRepo.files)) {
      const found = await readFile(join(path, name)).catch(() => undefined);
      if (found !== undefined && !found.equals(bytes)) throw new Error(`${name} is damaged`);
    }
    return { ok: true, said: "" };
  } catch (error) {
    return { ok: false, said: String(error) };
  }
}

/** No output but what is kept for messages; a clock so fast that every step writes a checkpoint. */
function quietIo(said: string[]): Io {
  let time = 0;
  return {
    stdout: { write: () => true },
    stderr: { write: (text) => said.push(text) },
    isTTY: false,
    color: false,
    now: () => (time += 60_000),
    signal: new AbortController().signal,
    openDialog: () => ({ ask: () => Promise.resolve(undefined), close: () => undefined }),
  };
}
