/**
 * What one pass costs, in milliseconds, on one device with one model: a block by rows, a head, the final head by rows; each with the
 * reading back and the bookkeeping that decoding does around it. With a ledger's counts they predict the time of any decoding.
 */
import { advance, argmax, type ExitHeads, type LedgerReport, readConfidences, scope, Sequence, type UnitCosts } from "early-exits";
import { timingOf } from "./measure.js";

export interface UnitTimes {
  /** block[k]: one block, k rows, k = 1..; block[0] is 0. */
  readonly block: readonly number[];
  /** One evaluation of each head, one row. */
  readonly heads: readonly number[];
  /** unembed[k]: final norm, unembedding and argmax of k rows. */
  readonly unembed: readonly number[];
}

export interface UnitTimesOptions {
  /** Rows up to which passes are measured. @default 9 */
  readonly rows?: number;
  /** Positions before the rows. @default 96 */
  readonly context?: number;
  /** Samples of each, taken in turn. @default 15 */
  readonly samples?: number;
}

export async function measureUnits(heads: ExitHeads, { rows = 9, context = 96, samples = 15 }: UnitTimesOptions = {}): Promise<UnitTimes> {
  await heads.freeze();
  const { model } = heads;
  const { numLayers, vocabSize } = model.config;
  const sequence = new Sequence(model, context + rows);
  sequence.append(...Array.from({ length: context }, (_, i) => (i * 7919 + 13) % vocabSize));
  advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
  const [block, unembed]: [number[][], number[][]] = [[], []];
  const head: number[][] = heads.heads.map(() => []);
  for (let sample = -2; sample < samples; sample++) { // the first two warm up
    for (let k = 1; k <= rows; k++) {
      sequence.append(...Array.from({ length: k }, (_, i) => (i * 31 + k) % vocabSize));
      const began = performance.now();
      advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
      const ran = performance.now();
      const logits = scope(() => model.unembed(sequence.hidden(context, context + k)));
      await argmax(logits);
      logits.dispose();
      const read = performance.now();
      if (sample >= 0) {
        (block[k] ??= []).push((ran - began) / numLayers);
        (unembed[k] ??= []).push(read - ran);
      }
      if (k === 1) {
        for (const [exit, each] of heads.heads.entries()) {
          const from = performance.now();
          const out = scope(() => each.logits(sequence.hidden(context)));
          await readConfidences(out);
          out.dispose();
          if (sample >= 0) head[exit]!.push(performance.now() - from);
        }
      }
      sequence.truncate(context);
    }
  }
  sequence.dispose();
  const medians = (lists: readonly (readonly number[] | undefined)[]): number[] => Array.from({ length: rows + 1 }, (_, k) => (k === 0 ? 0 : timingOf(lists[k]!).median));
  return { block: medians(block), heads: head.map((list) => timingOf(list).median), unembed: medians(unembed) };
}

/** Milliseconds that counted work takes at these unit times. Beyond the measured rows the last two are prolonged. */
export function predictedTime({ steps, passesByRows, headsByExit }: LedgerReport, { block, heads, unembed }: UnitTimes): number {
  const blocks = passesByRows.reduce((sum, passes, rows) => sum + passes * at(block, rows), 0);
  const asked = headsByExit.reduce((sum, rows, exit) => sum + rows * heads[exit]!, 0);
  return steps.reduce((sum, { finalHeads }) => sum + at(unembed, finalHeads), blocks + asked);
}

/** The unit costs that the adaptive draft length plans with. */
export function planningCosts({ block, heads, unembed }: UnitTimes): UnitCosts {
  return { block: block[1]!, heads, unembed: unembed[1]!, furtherRow: Math.max(0.02, (block[5]! / block[1]! - 1) / 4) };
}

function at(times: readonly number[], rows: number): number {
  const last = times.length - 1;
  return rows <= last ? times[rows]! : times[last]! + (rows - last) * (times[last]! - times[last - 1]!);
}
