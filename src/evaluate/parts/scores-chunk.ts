/** Scores of several items in one file: a line of JSON for each. Log-likelihoods may be infinite, which JSON is not. */
import type { ItemScore } from "../score-items.js";

/** The file's bytes. */
export function serializeScores(scores: readonly ItemScore[]): Uint8Array {
  const lines = scores.map((score) => `${JSON.stringify(score, (_, value: unknown) => spelled(value))}\n`);
  return new TextEncoder().encode(lines.join(""));
}

/** The scores in a file's bytes. */
export function parseScores(bytes: Uint8Array): ItemScore[] {
  const lines = new TextDecoder().decode(bytes).split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line, (_, value: unknown) => numberOf(value)) as ItemScore);
}

function spelled(value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** No other value of a score is text. */
function numberOf(value: unknown): unknown {
  return typeof value === "string" ? Number(value) : value;
}
