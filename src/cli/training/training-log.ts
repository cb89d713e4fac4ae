/**
 * training-log.jsonl: a JSON line for the first step, every tenth step and every validated step; its loss is the mean
 * since the line before.
 */
import { appendFile, readFile } from "node:fs/promises";
import type { PretrainStep } from "../../model/index.js";
import { writeFileAtomic } from "../../node/index.js";
import type { Io } from "../io.js";

type Append = (entry: Readonly<Record<string, unknown>> & { readonly step: number }) => Promise<void>;

const LOG_EVERY = 10; // steps

/**
 * Opens the file to append JSON lines. Lines beyond the step at which a run resumes are cut off first, and so is a line
 * that a killed process has not finished.
 */
export async function openLog(path: string, resumedAt: number): Promise<Append> {
  const before = resumedAt === 0 ? "" : await readFile(path, "utf8").catch(() => "");
  const kept = before.split("\n").filter((line) => stepOf(line) <= resumedAt);
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
  return (entry) => appendFile(path, `${JSON.stringify(entry)}\n`);
}

/** Infinite for a line that is not whole. */
function stepOf(line: string): number {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === "number" ? step : Infinity;
  } catch {
    return Infinity;
  }
}

/** Logs steps, with the validation loss of those that were validated; `started` is a time of `io.now`. */
export function trainingLog(
  append: Append,
  started: number,
  io: Io,
): (event: PretrainStep, validationLoss: number | undefined) => Promise<void> {
  let losses: number[] = [];
  return async ({ step, loss, gradientNorm, learningRate, tokensPerSecond }, validationLoss) => {
    losses.push(loss);
    if (validationLoss === undefined && step % LOG_EVERY !== 0 && step !== 1) return;
    const mean = losses.reduce((sum, value) => sum + value / losses.length, 0);
    losses = [];
    await append({
      step,
      loss: Number(mean.toFixed(4)),
      ...(validationLoss !== undefined && { validationLoss: Number(validationLoss.toFixed(4)) }),
      gradientNorm: Number(gradientNorm.toFixed(3)),
      learningRate: Number(learningRate.toPrecision(4)),
      tokensPerSecond: Math.round(tokensPerSecond),
      seconds: Number(((io.now() - started) / 1000).toFixed(1)),
    });
  };
}
