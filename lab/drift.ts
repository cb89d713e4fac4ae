/**
 * Drift: how much a fill changes the tokens that do not leave early. A random share of the positions stops at one exit;
 * every other position runs all blocks and attends to what the fill made. Its next-token distribution is compared with
 * the full model's on the same (teacher-forced) text:
 *     kept = share of the positions with the same argmax          kl = mean KL(full || with fill), nats
 * Exact fills give 1 and 0. What it leaves out: the heads' own mistakes (see calibrate), and that a policy lets easy
 * tokens leave, not random ones.
 */
import { requireInteger, requireNumber } from "../src/errors.js";
import { advance, type Document, Sequence } from "../src/model/index.js";
import { markedWindows } from "../src/model/documents.js";
import { argmaxOf } from "../src/model/decode/sampling.js";
import { nonFiniteError } from "../src/model/decode/non-finite.js";
import { rowOf } from "../src/model/decode/final-logits.js";
import { createRng } from "../src/tensor/index.js";
import { checkFill, type FillName, fills, requireFillFor } from "../src/exits/fill/fill.js";
import type { ExitHeads } from "../src/exits/heads/exit-heads.js";
import { ledgerOf, type LedgerReport } from "../src/exits/cost/ledger.js";
import { valuesOf } from "../src/tensor/values-of.js";

interface DriftOptions {
  readonly fill: FillName;
  readonly exit?: number;
  /** Share of the positions that leave, in [0, 1]. @default 0.5 */
  readonly share?: number;
  /** Tokens per window at most. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** Windows at most. @default all */
  readonly windows?: number;
  /** Seed of the positions that leave, the same for every fill. @default 0 */
  readonly seed?: number;
}

export interface Drift {
  /** Positions that ran all blocks and were compared. */
  readonly compared: number;
  readonly left: number;
  /** Share of the compared positions with the full model's argmax. */
  readonly kept: number;
  /** Mean KL(full || with fill) over the compared positions, nats. */
  readonly kl: number;
  /** One step per position; its `plain` is the full model, position by position. */
  readonly ledger: LedgerReport;
}

/** Measures one fill at one exit on documents. Heads must be fitted for the fill `project`. */
export async function measureDrift(
  heads: ExitHeads,
  documents: readonly Document[],
  options: DriftOptions,
): Promise<Drift> {
  const { model } = heads;
  const {
    fill,
    exit = 0,
    share = 0.5,
    sequenceLength = Math.min(128, model.config.maxPositionEmbeddings),
    windows: limit = Infinity,
    seed = 0,
  } = options;
  requireFillFor(heads, checkFill(fill));
  requireInteger("measureDrift: exit", exit, 0, heads.depths.length - 1);
  requireNumber("measureDrift: share", share, 1);
  const { numLayers, vocabSize } = model.config;
  const depth = heads.depths[exit]!;
  const rng = createRng(seed).fork("who leaves");
  const ledger = ledgerOf(heads);
  ledger.step(0); // no prefill: every position is a step
  const totals = { compared: 0, left: 0, kept: 0, kl: 0 };
  const windows = markedWindows(model, documents, sequenceLength).slice(0, limit);
  for (const { ids: window } of windows) {
    const full = await model.logits(window); // T·V
    const sequence = new Sequence(model, window.length);
    for (const [t, id] of window.entries()) {
      sequence.append(id);
      const leaves = rng.uniform() < share && depth < numLayers;
      const toDepth = leaves ? depth : numLayers;
      advance(model, [{ sequence, positions: sequence.pending(toDepth) }], toDepth, ledger);
      if (leaves) {
        totals.left++;
        fills[fill].apply(heads, sequence, t, exit, ledger);
      } else {
        ledger.unembed(1);
        const expected = rowOf(full, t, vocabSize);
        const found = await valuesOf(() => model.unembed(sequence.hidden(t))); // [1, V]
        const what = brokenOf(expected, found);
        if (what !== undefined) {
          sequence.dispose();
          throw await nonFiniteError(model, window.slice(0, t + 1), { what, caller: "measureDrift" });
        }
        totals.compared++;
        totals.kept += Number(argmaxOf(expected) === argmaxOf(found));
        totals.kl += divergence(expected, found);
      }
      ledger.step(1);
    }
    sequence.dispose();
  }
  const { compared, left, kept, kl } = totals;
  return {
    compared,
    left,
    kept: kept / compared,
    kl: kl / compared,
    ledger: ledger.report(windows.map(({ ids }) => ({ promptTokens: 1, newTokens: ids.length }))),
  };
}

function brokenOf(full: Float32Array, filled: Float32Array): string | undefined {
  if (!full.every(Number.isFinite)) return "the full model's logits";
  return filled.every(Number.isFinite) ? undefined : "the logits after the fill";
}

/** In float64. */
function divergence(a: Float32Array, b: Float32Array): number {
  const lseA = logSumExp(a);
  const lseB = logSumExp(b);
  const kl = a.reduce((sum, value, i) => sum + Math.exp(value - lseA) * (value - lseA - b[i]! + lseB), 0);
  return Math.max(0, kl); // rounding may take it below 0
}

function logSumExp(z: Float32Array): number {
  const max = z.reduce((largest, value) => Math.max(largest, value), -Infinity);
  return max + Math.log(z.reduce((sum, value) => sum + Math.exp(value - max), 0));
}
