/** training-log.jsonl: a JSON line for each logged step. */
import { appendFile, readFile } from "node:fs/promises";
import { writeFileAtomic } from "early-exits/node";

export type Append = (entry: Readonly<Record<string, unknown>> & { readonly step: number }) => Promise<void>;

/**
 * Appends JSON lines, after cutting those beyond the step at which a run resumes, or left unfinished by a killed
 * process.
 */
export async function openLog(path: string, resumedAt: number): Promise<Append> {
  const before = resumedAt === 0 ? "" : await readFile(path, "utf8").catch(() => "");
  const kept = before.split("\n").filter((line) => stepOf(line) <= resumedAt);
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
  return (entry) => appendFile(path, `${JSON.stringify(entry)}\n`);
}

/** Infinity for an incomplete line. */
function stepOf(line: string): number {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === "number" ? step : Infinity;
  } catch {
    return Infinity;
  }
}
