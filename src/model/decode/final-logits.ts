/**
 * The full model's logits, as far as choosing tokens needs them: a greedy token the largest, a top-k token the k
 * largest. If the model screens its unembedding, no others are computed.
 */
import { rowArgmax } from "../../tensor/ops/reduce.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { normalize, project } from "../block.js";
import type { WorkMeter } from "../meter.js";
import type { Model } from "../model.js";
import type { LargestLogits, ScreenedUnembedding } from "../screened-unembedding.js";
import { argmaxOf } from "./sampling.js";

/** Receives logits [R, V] of a round before they are freed. */
export type OnLogits = (logits: Tensor) => void;

/** Number of largest logits: 1 for the argmax; undefined for all. */
type LogitsNeeded = number | undefined;

export interface FinalLogits {
  /** First state with NaN or infinity among its logits; see non-finite.ts. */
  readonly nonFinite: number | undefined;
  /** Argmax of a state that needs one or all; the lowest on ties. */
  argmax(row: number): number;
  /** Logits [V] of a state that needs more; -Infinity for those that its token does not depend on. */
  row(row: number): Float32Array;
}

/** With more rows, the full product costs little more than one row, and screening does not pay. */
const MOST_ROWS = 8;
const MOST_NEEDED = 128;

/** `states` returns [R, C] after the last block; `needed` has one entry for each. `onLogits` receives all logits. */
export function finalLogits(
  model: Model,
  states: () => Tensor,
  needed: readonly LogitsNeeded[],
  { meter, onLogits }: { readonly meter?: WorkMeter | undefined; readonly onLogits?: OnLogits | undefined } = {},
): Promise<FinalLogits> {
  const { screened } = model;
  const may = screened !== undefined && onLogits === undefined && needed.length <= MOST_ROWS;
  if (may && needed.every((count) => count !== undefined && count <= MOST_NEEDED)) {
    return screenedOrFull(model, screened, states, needed as readonly number[], meter);
  }
  const logits = scope(() => model.unembed(states())); // [R, V]
  meter?.unembed(needed.length);
  onLogits?.(logits);
  return readLogits(logits, needed);
}

async function screenedOrFull(
  model: Model,
  screened: ScreenedUnembedding,
  states: () => Tensor,
  needed: readonly number[],
  meter: WorkMeter | undefined,
): Promise<FinalLogits> {
  const normed = scope(() => normalize(states(), model.weights.finalNorm, model.config)); // [R, C]
  try {
    const { rows, work } = await screened.largest(normed, needed);
    const found = rows.every((row) => row !== undefined);
    meter?.unembed(needed.length, { ...work, full: !found });
    if (found) return screenedLogits(rows, model.config.vocabSize);
    return await readLogits(project(normed, model.weights.unembedding), needed);
  } finally {
    normed.dispose();
  }
}

function screenedLogits(rows: readonly LargestLogits[], vocabSize: number): FinalLogits {
  return {
    nonFinite: firstRow(rows, ({ logits }) => !logits.every(Number.isFinite)),
    argmax: (row) => rows[row]!.ids[argmaxOf(rows[row]!.logits)]!,
    row: (row) => spread(rows[row]!, vocabSize),
  };
}

/** All logits [V], those that are not known -Infinity. */
export function spread({ ids, logits }: LargestLogits, vocabSize: number): Float32Array {
  const all = new Float32Array(vocabSize).fill(-Infinity);
  for (const [i, id] of ids.entries()) all[id] = logits[i]!;
  return all;
}

async function readLogits(logits: Tensor, needed: readonly LogitsNeeded[]): Promise<FinalLogits> {
  const vocabSize = logits.shape[1]!;
  try {
    const best = needed.includes(1) ? await valuesOf(() => rowArgmax(logits)) : undefined; // R·3
    const values = needed.every((count) => count === 1) ? undefined : await logits.read(); // R·V
    return {
      nonFinite: firstRow(needed, (_, row) =>
        best ? !Number.isFinite(best[3 * row + 2]) : !isFiniteRow(rowOf(values!, row, vocabSize)),
      ),
      argmax: (row) => best?.[3 * row] ?? argmaxOf(rowOf(values!, row, vocabSize)),
      row: (row) => rowOf(values!, row, vocabSize),
    };
  } finally {
    logits.dispose();
  }
}

/** Zero times what is not finite is NaN. */
function isFiniteRow(logits: Float32Array): boolean {
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += 0 * logits[id]!;
  return sum === 0;
}

function firstRow<T>(rows: readonly T[], fails: (row: T, index: number) => boolean): number | undefined {
  const index = rows.findIndex(fails);
  return index < 0 ? undefined : index;
}

export function rowOf(values: Float32Array, r: number, vocabSize: number): Float32Array {
  return values.subarray(r * vocabSize, (r + 1) * vocabSize);
}
