/**
 * The commands that are tortured, and how a folder is judged afterwards. It is read as a new process would: what was
 * finished before is there, whole; the command goes on, with --resume if there is a checkpoint, and its result is that
 * of an undisturbed run, byte for byte; no temporary file stays.
 */
import { existsSync } from "node:fs";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkManifest } from "../../../src/model/files/manifest.js";
import { readJson, resolveModel } from "early-exits/node";
import { diskFolder } from "../../../src/node/disk-folder.js";
import { settleFolder } from "../../../src/node/folder-transaction.js";
import { exitCodeOf } from "../../../apps/cli/exit-code.js";
import type { Io } from "../../../apps/cli/io.js";
import { main } from "../../../apps/cli/program.js";
import { tinyRepo } from "../../../test/node/hub/support.js";
import type { Job } from "./job.js";
import { pretrainFolder, type PretrainSettings, pretrainText } from "../../ship/pretrain-folder.js";
import { makeShipJob } from "./ship-job.js";

const words = (text: string): string[] => text.trim().split(/\s+/);
const TINY = {
  ...{ layers: 2, hidden: 16, heads: 2, kvHeads: 1, intermediate: 32, context: 64, vocab: 280 },
  ...{ batch: 2, sequence: 16, validateEvery: 4, steps: 4, device: "reference" },
} as const satisfies Partial<PretrainSettings>;
const TRAIN = "--depths 1 --steps 4 --batch 2 --sequence 16 --device reference";

export type Contents = Readonly<Record<string, string | undefined>>;

/** Findings of a new process, and what it makes of them. */
export async function recover(job: Job, out: string, wanted: Contents, where: string): Promise<string> {
  const fail = (problem: string): never => {
    throw new Error(`${where}: ${problem}`);
  };
  await settleFolder(out);
  await checkManifest(diskFolder(out));
  const found = await contentsOf(out, job.results);
  const isNew = job.results.length > 0 && same(found, wanted);
  await job.check?.(out, false);
  if (job.replaces === true && !isNew && !same(found, await contentsOf(job.before!, job.results))) {
    fail("the finished work of the earlier run is lost or mixed with the new one");
  }
  const checkpoint = existsSync(join(out, "checkpoint", "state.safetensors"));
  if (!isNew || checkpoint || job.repeats === true) {
    const { ok, said } = await job.run(out, checkpoint);
    if (!ok) fail(`it does not go on${checkpoint ? " with --resume" : ""}: ${said}`);
    await settleFolder(out);
    if (!same(await contentsOf(out, job.results), wanted)) fail("its result is another than that of a straight run");
  }
  await job.check?.(out, true);
  if (isNew && !checkpoint && job.repeats !== true) {
    // Finished. The next run refuses to overwrite it, and clears away what this one could not.
    const { ok, said } = await job.run(out, false);
    if (job.replaces !== true && (ok || !said.includes("--force"))) fail(`a new run is not refused: ${said}`);
    if (!same(await contentsOf(out, job.results), wanted)) fail("finished work has changed");
  }
  const left = (await allFiles(out)).filter((name) => /incomplete$/.test(name) || isTemporary(name));
  if (left.length > 0) fail(`temporary files stay: ${left.join(", ")}`);
  if (isNew && job.repeats !== true) return "finished at the kill";
  return checkpoint ? "resumed from a checkpoint" : "done again";
}

/** True if a name is that of a file which only an unfinished command needs. */
export const isTemporary = (name: string): boolean => /\.tmp$|\.next$|\.commit\.json$|\.done(\/|$)/.test(name);

export const same = (a: Contents, b: Contents): boolean => JSON.stringify(a) === JSON.stringify(b);

export async function contentsOf(folder: string, names: readonly string[]): Promise<Contents> {
  const read = async (name: string): Promise<[string, string | undefined]> => [
    name,
    await readFile(join(folder, name), "base64").catch(() => undefined),
  ];
  return Object.fromEntries(await Promise.all(names.map(read)));
}

export const allFiles = (folder: string): Promise<string[]> => readdir(folder, { recursive: true }).catch(() => []);

export async function makeJobs(folder: string, endpoint: string): Promise<Job[]> {
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
  const pretrain: Job["run"] = async (out, resume) => {
    const said: string[] = [];
    const io = quietIo(said);
    const run = async (): Promise<unknown> => pretrainFolder(await pretrainText(text, 1), { ...TINY, out, resume }, io);
    const ok = (await exitCodeOf(io, run)) === 0;
    return { ok, said: said.join("").slice(-400) };
  };
  const model = join(folder, "pretrain-straight");
  await pretrain(model, false);
  const train = (out: string): string => `train ${model} --text ${text} --out ${out} ${TRAIN}`;
  const earlier = join(folder, "earlier");
  await command((out) => `${train(out)} --seed 9`)(earlier, false);
  const calibrate = (out: string): string =>
    `calibrate ${model} --heads ${earlier} --text ${text} --paper --agreement .6 --device reference ` +
    `--out ${join(out, "policy.json")}`;
  const heads = { results: ["heads.json", "heads.safetensors"] };
  const jobs: Job[] = [
    {
      name: "pretrain",
      run: pretrain,
      results: ["config.json", "tokenizer.json", "model.safetensors"],
    },
    { name: "train", run: command(train), line: (out) => ({ argv: words(train(out)) }), ...heads },
    {
      name: "train-again",
      run: command(train, "--force"),
      line: (out) => ({ argv: words(`${train(out)} --force`) }),
      ...heads,
      before: earlier,
      replaces: true,
    },
    {
      name: "calibrate",
      run: command(calibrate),
      line: (out) => ({ argv: words(calibrate(out)) }),
      results: [],
      read: (out) => readJson(join(out, "policy.json")),
    },
    {
      name: "get",
      run: (out) => download(endpoint, out),
      line: (out) => ({
        argv: ["get", "org/tiny"],
        env: { HF_ENDPOINT: endpoint, HF_HUB_CACHE: out, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" },
      }),
      results: [],
    },
    await makeShipJob(model, join(folder, "shipped")),
  ];
  for (const job of jobs.slice(1)) {
    const out = join(folder, `${job.name}-straight`);
    if (job.before !== undefined) await cp(job.before, out, { recursive: true });
    await job.run(out, false);
  }
  return jobs;
}

/** Downloads a model into a cache of its own. */
async function download(endpoint: string, cache: string): ReturnType<Job["run"]> {
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
    readInput: () => Promise.resolve(undefined),
    openDialog: () => ({ ask: () => Promise.resolve(undefined), close: () => undefined }),
  };
}
