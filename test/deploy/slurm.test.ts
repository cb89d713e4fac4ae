/**
 * A calibration and an evaluation of 1,000 documents in 8 shards under Slurm, by the recipes in deploy/: byte for byte
 * the files of one process, also when two tasks of each are killed and requeued.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { pretrainTiny, scratch, sentences, succeed, words, writeText } from "../cli/support.js";
import { type OneNode, startSlurm, until } from "./one-node.js";

const DOCUMENTS = 1000;
const SHARDS = 8;
/** The tasks that are killed on their first run. */
const VICTIMS = [2, 5];
/** A loaded machine takes this long to get anything done; a quiet one needs a minute for all of it. */
const PATIENCE = 400_000;

const cli = resolve("dist/apps/cli/main.js");
const deploy = resolve("deploy/slurm");
const folder = scratch();
const model = folder.path("model");
const heads = folder.path("heads");
const text = folder.path("text.txt");
let slurm: OneNode;

beforeAll(async () => {
  slurm = await startSlurm();
  const training = writeText(folder.path("training.txt"), sentences(60));
  await pretrainTiny(training, {
    out: model,
    layers: 4,
    hidden: 64,
    heads: 4,
    kvHeads: 4,
    intermediate: 128,
    context: 96,
    steps: 30,
  });
  await succeed(words`train ${model} --text ${training} --depths 1,2,3 --steps 12 --out ${heads} --device wasm`);
  writeText(text, sentences(DOCUMENTS, 100));
});

afterAll(() => slurm.stop());

/** A command as a process of its own, as Slurm runs it. */
async function alone(line: readonly string[]) {
  await promisify(execFile)(process.execPath, [cli, ...line], { maxBuffer: 2 ** 26 });
}

/** A task's stderr. */
function logOf(name: string, task: number) {
  const path = folder.path(`${name}-${task}.log`);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/**
 * Command of jobs: victims are stopped on their first run once they tell of progress, and wait to be killed. They run
 * in slices and are stopped between them, or on a busy machine one would be done before its log is read.
 */
function launcher(name: string) {
  const path = folder.path(`launch-${name}.sh`);
  writeFileSync(
    path,
    `#!/bin/bash
task=\${SLURM_ARRAY_TASK_ID:-none}
case " ${VICTIMS.join(" ")} " in *" $task "*) victim=1 ;; *) victim= ;; esac
if [ -z "$victim" ] || [ "\${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then exec "${process.execPath}" "${cli}" "$@"; fi
log=${folder.path(name)}-$task.log
"${process.execPath}" "${cli}" "$@" 2> "$log" &
while kill -STOP $!; ! grep -q "^$1 [0-9]" "$log"; do kill -CONT $!; sleep .05; done
touch ${folder.path(name)}-$task.stopped
wait
`,
    { mode: 0o755 },
  );
  return path;
}

/** Spreads a command over an array, kills the victims, and waits for the result. */
async function spread(name: string, line: readonly string[]) {
  const out = folder.path(`${name}-spread.json`);
  const store = folder.path(name);
  const environment = { EARLY_EXITS: launcher(name) };
  const jobs = await slurm.command(join(deploy, "submit.sh"), [`${SHARDS}`, store, out, ...line], environment);
  const [array] = jobs.split("\n");
  const state = () => `${describe(store)}\n${slurm.logs()}`;
  for (const victim of VICTIMS) {
    await until(() => existsSync(folder.path(`${name}-${victim}.stopped`)), PATIENCE, state);
    expect(logOf(name, victim), "the victim is not done when it is killed").not.toContain(`shard ${victim} of`);
    const task = `${array!}_${victim}`;
    await slurm.command("scontrol", ["requeue", task]);
    const show = () => slurm.command("scontrol", ["show", "job", task]);
    await until(async () => /JobState=PENDING[^]* Restarts=1\b/.test(await show()), PATIENCE, state);
    // Slurm holds a requeued job back for two minutes.
    const begin = ["update", `JobId=${task}`, "StartTime=now"];
    await until(async () => (await slurm.command("scontrol", begin)) === "", PATIENCE, state);
  }
  await until(() => existsSync(out), PATIENCE, state);
  for (const victim of VICTIMS) {
    const job = await slurm.command("scontrol", ["show", "job", `${array!}_${victim}`]);
    expect(job).toContain("Restarts=1");
    expect(job).toContain("JobState=COMPLETED");
  }
  return readFileSync(out, "utf8");
}

function describe(store: string) {
  const logs = readdirSync(slurm.work).map((name) => `${name}:\n${readFileSync(join(slurm.work, name), "utf8")}`);
  return `${existsSync(store) ? readdirSync(store).length : 0} files in the store\n${logs.join("\n")}`;
}

it("calibrates 1,000 documents to the certificate of one process", async () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${text} --agreement .6 --device wasm`;
  await alone(words`${line} --out ${folder.path("one.json")}`);
  const result = await spread("calibration", line);
  expect(JSON.parse(result)).toMatchObject({ format: "early-exits/certificate" });
  const kept = readdirSync(folder.path("calibration")).filter((name) => /^record-[0-9a-f]{32}$/.test(name));
  expect(kept).toHaveLength(DOCUMENTS);
  expect(result).toBe(readFileSync(folder.path("one.json"), "utf8"));
});

it("evaluates 1,000 documents to the report of one process", async () => {
  const policy = folder.path("one.json");
  const line = words`
    eval ${model} --task ${text} --kind perplexity --heads ${heads} --policy ${policy} --resamples 200 --device wasm`;
  await alone(words`${line} --out ${folder.path("eval.json")}`);
  const result = await spread("evaluation", line);
  expect(JSON.parse(result)).toMatchObject({ format: "early-exits/evaluation", items: DOCUMENTS });
  expect(result).toBe(readFileSync(folder.path("eval.json"), "utf8"));
});
