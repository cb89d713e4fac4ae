/**
 * A real Slurm on this machine alone (Debian's slurm-wlm and munge): two processors, with a munge, configuration and
 * ports of its own. Needs root, no systemd, and no network but the loopback address.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
/** A loaded machine takes this long; a quiet one a second. In milliseconds. */
const PATIENCE = 60_000;

export type OneNode = Awaited<ReturnType<typeof startSlurm>>;

/** Starts the daemons, and waits until the node takes jobs. `work` is a folder for the jobs' files. */
export async function startSlurm() {
  const root = mkdtempSync(join(tmpdir(), "early-exits-slurm-"));
  const folder = (name: string) => {
    mkdirSync(join(root, name));
    return join(root, name);
  };
  chmodSync(root, 0o755);
  const [state, spool, log, work, munge] = ["state", "spool", "log", "work", "munge"].map(folder);
  const socket = join(munge!, "socket");
  const config = join(root, "slurm.conf");
  const node = hostname().split(".")[0]!;
  writeFileSync(
    config,
    `ClusterName=one
SlurmctldHost=${node}(127.0.0.1)
SlurmctldPort=46817
SlurmdPort=46818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${socket}
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=${state!}
SlurmdSpoolDir=${spool!}
SlurmctldLogFile=${log!}/slurmctld.log
SlurmdLogFile=${log!}/slurmd.log
SlurmctldPidFile=${root}/slurmctld.pid
SlurmdPidFile=${root}/slurmd.pid
ReturnToService=2
KillWait=2
SchedulerParameters=requeue_setup_env_fail,bf_interval=1,sched_interval=1
NodeName=${node} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=p Nodes=${node} Default=YES MaxTime=INFINITE State=UP
`,
  );
  const environment = { ...process.env, SLURM_CONF: config };
  /** Runs a command of Slurm, or one that uses it; returns its stdout without the last line break. */
  const command = async (file: string, args: readonly string[], added: Record<string, string> = {}) => {
    const { stdout } = await run(file, [...args], { cwd: work!, env: { ...environment, ...added } });
    return stdout.trimEnd();
  };
  /** Logs of the daemons. */
  const logs = () =>
    ["munged.log", "log/slurmctld.log", "log/slurmd.log"]
      .map((name) => join(root, name))
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path, "utf8").split("\n").slice(-40).join("\n"))
      .join("\n");

  const stop = async () => {
    if (existsSync(join(root, "slurmctld.pid"))) {
      await command("scancel", ["--user=root", "--signal=KILL"]).catch(() => "");
      await command("scancel", ["--user=root"]).catch(() => "");
      await until(async () => (await command("squeue", ["-h"])) === "", PATIENCE, logs).catch(() => undefined);
    }
    for (const name of ["slurmd.pid", "slurmctld.pid", "munged.pid"]) {
      const path = join(root, name);
      if (!existsSync(path)) continue;
      const pid = Number(readFileSync(path, "utf8"));
      if (pid > 1 && isRunning(pid)) process.kill(pid, "SIGTERM");
      await until(
        () => !isRunning(pid),
        PATIENCE,
        () => `${name} goes on`,
      );
    }
    rmSync(root, { recursive: true, force: true });
  };

  try {
    const mungeFlags = [
      `--key-file=${root}/munge.key`,
      `--socket=${socket}`,
      `--pid-file=${root}/munged.pid`,
      `--log-file=${root}/munged.log`,
      `--seed-file=${root}/munged.seed`,
    ];
    await run("mungekey", ["--create", `--keyfile=${root}/munge.key`]);
    await run("munged", mungeFlags);
    for (const daemon of ["slurmctld", "slurmd"]) {
      const child = spawn(daemon, [], { env: environment, stdio: "ignore" });
      await once(child, "exit");
    }
    await until(async () => (await command("sinfo", ["-h", "-o", "%T"])) === "idle", PATIENCE, logs);
  } catch (error) {
    await stop();
    throw new Error(`Slurm did not start; this suite needs root, slurm-wlm and munge\n${logs()}`, { cause: error });
  }
  return { work: work!, command, logs, stop };
}

function isRunning(pid: number) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until something is true; otherwise throws an error with the words of `found`. */
export async function until(test: () => boolean | Promise<boolean>, milliseconds: number, found: () => string) {
  const end = performance.now() + milliseconds;
  while (!(await Promise.resolve(test()).catch(() => false))) {
    if (performance.now() > end) throw new Error(`not within ${milliseconds / 1000} s:\n${found()}`);
    await sleep(50);
  }
}
