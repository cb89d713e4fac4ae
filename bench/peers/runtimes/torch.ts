/**
 * Peer: PyTorch in the system's Python (Debian's python3-torch, with OpenBLAS), for the head-training step and, as a
 * point of reference, decoding; see torch_peer.py.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Job, Outcome } from "../peer.js";
import { shape, textOf, training } from "../shape.js";

const python = "/usr/bin/python3";
const remedy = "install it with: apt-get update && apt-get install -y python3-torch libopenblas0-pthread";

export function runTorch(job: Job, timeout: number): Promise<Outcome> {
  const argument = JSON.stringify({ ...job, shape, training, ...textOf(job.protocol) });
  return new Promise((resolve) => {
    const child = spawn(python, [join(import.meta.dirname, "torch_peer.py"), argument], {
      timeout,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, OMP_NUM_THREADS: String(job.threads) },
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    child.on("error", (error) =>
      resolve({ status: "absent", reason: `torch: ${python} cannot be run (${error.message}); ${remedy}` }),
    );
    child.on("close", (code, signal) => {
      const lastLine = (text: string): string => text.trim().split("\n").at(-1)!;
      if (code === 0) {
        resolve(JSON.parse(lastLine(output)) as Outcome);
      } else if (errors.includes("No module named 'torch'")) {
        resolve({ status: "absent", reason: `torch: ${python} has no module torch; ${remedy}` });
      } else {
        const end = signal ?? `status ${code ?? "unknown"}`;
        resolve({ status: "failed", reason: `torch: ended with ${end}: ${lastLine(errors)}` });
      }
    });
  });
}
