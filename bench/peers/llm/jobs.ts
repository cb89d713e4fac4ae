/** Jobs of child.ts, each in a process of its own. */
import { join } from "node:path";
import { runChild } from "../run-child.js";
import type { LlmAnswer, LlmJob } from "./protocol.js";

/** `execPath` is the Node that runs it. */
export function runJob(job: LlmJob, execPath = process.execPath): Promise<LlmAnswer> {
  return runChild<LlmAnswer>(join(import.meta.dirname, "child.ts"), job, execPath);
}

/** Bytes that a process reads, and products of integers, per second; NaN if it fails. */
export async function limits(clock = "wall"): Promise<Readonly<Record<"read" | "products", number>>> {
  const answer = await runJob({
    runtime: "limits",
    type: "",
    threads: 1,
    path: "",
    vocabSize: 0,
    prompts: [],
    passes: 0,
    clock,
  });
  return answer.kind === "limits" ? answer : { read: NaN, products: NaN };
}
