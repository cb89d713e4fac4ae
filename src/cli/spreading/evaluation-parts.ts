/** Parts of `eval`: scores of items. */
import {
  type EvaluationDescription,
  type EvaluationJob,
  type ItemScore,
  parseScores,
} from "../../evaluate/parts/index.js";
import { chunkSize, ownChunks, type PartSet } from "../../node/parts/index.js";
import type { Io } from "../io.js";
import { type PartPlace, writeRound } from "./shard-options.js";

/** Most items in a chunk. */
const ITEMS = 16;

/** What a part of scores says it was made of. */
export interface EvaluatedMade {
  readonly description: EvaluationDescription;
  /** What the command's result says of the task, and the names of the ways. */
  readonly task: string;
  readonly names: readonly string[];
}

/** Says of which of so many items the scores will be asked for. */
export function ownItems({ shard }: PartPlace, units: number): (unit: number) => boolean {
  const own = new Set(ownChunks(shard, { units, chunk: chunkSize(shard, units, ITEMS) }).flat());
  return (unit) => own.has(unit);
}

/** Writes a shard's part. */
export async function writeEvaluationPart(
  io: Io,
  place: PartPlace,
  { score }: EvaluationJob,
  made: EvaluatedMade,
): Promise<void> {
  const units = made.description.items.count;
  await writeRound(io, place, { command: "eval", round: "scores", units, chunk: ITEMS, made }, score);
}

/** All scores, in the order of the items. */
export async function readScores(parts: PartSet): Promise<ItemScore[]> {
  const scores = new Array<ItemScore>(parts.run.units);
  for await (const { units, bytes } of parts.chunks()) {
    const parsed = parseScores(bytes);
    for (const [i, unit] of units.entries()) scores[unit] = parsed[i]!;
  }
  return scores;
}
