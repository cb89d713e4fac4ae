/** Runs one job in a process of its own, which sends one answer. */
import { fork } from "node:child_process";

/** Milliseconds after which a process is ended. */
const TIMEOUT = 900_000;

/** Failure of a job. */
export interface ChildFailure {
  readonly kind: "failed";
  readonly reason: string;
}

/** Starts `script` with the job as its argument, by this Node or another; the loader flags (tsx) are inherited. */
export function runChild<Answer>(
  script: string,
  job: object,
  execPath = process.execPath,
): Promise<Answer | ChildFailure> {
  return new Promise((done) => {
    const child = fork(script, [JSON.stringify(job)], {
      execPath,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      timeout: TIMEOUT,
    });
    let answer: Answer | undefined;
    let printed = "";
    child.stderr!.on("data", (data: Buffer) => (printed += data.toString()));
    child.on("message", (message) => (answer = message as Answer));
    child.on("close", (code) => {
      done(answer ?? { kind: "failed", reason: `its process ended with ${code}: ${printed.trim().slice(-300)}` });
    });
  });
}
