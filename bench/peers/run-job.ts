/** Runs one job in a process of its own and waits for it to end: at most one peer is alive at any time. */
import { fork } from "node:child_process";
import { join } from "node:path";
import type { Job, Outcome } from "./peer.js";
import { runTorch } from "./runtimes/torch.js";

const timeout = 300_000; // milliseconds; the slowest job, the logits of the reference device, takes seconds

export function runJob(job: Job): Promise<Outcome> {
  if (job.peer === "torch") return runTorch(job, timeout);
  return new Promise((resolve) => {
    // What a peer prints is kept for the error message only. The loader flags (tsx) are inherited.
    const child = fork(join(import.meta.dirname, "child.ts"), [JSON.stringify(job)], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      timeout,
    });
    let outcome: Outcome | undefined;
    let printed = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (data: Buffer) => (printed += data.toString()));
    }
    child.on("message", (message) => (outcome = message as Outcome));
    child.on("close", (code, signal) => {
      const last = printed.trim().split("\n").at(-1)!;
      const end = signal ?? `status ${code ?? "unknown"}`;
      const reason = `${job.peer}: its process ended with ${end} before it answered${last === "" ? "" : `: ${last}`}`;
      resolve(outcome ?? { status: "failed", reason });
    });
  });
}
