/**
 * What a block, a head, a fill and the final head take on this machine, measured by running them as decoding does, in
 * turn; and what a run should take by its ledger:
 *     time = Σ passes of k rows · block(k) + Σ heads · head + Σ gates · gate + Σ fills · fill + Σ final heads of k rows · finalHead(k)
 * What lies between (choosing, text, the event loop) is left out: a run that takes longer than this shows it.
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { advance, keyValueLayers, Sequence } from "../../model/index.js";
import { argmax } from "../../tensor/ops/index.js";
import { scope } from "../../tensor/index.js";
import { type FillName, fills } from "../fill/index.js";
import type { ExitHeads } from "../heads/index.js";
import type { LedgerReport } from "./ledger.js";
import { costOfRows, type CostsByRows, type UnitCosts } from "./unit-costs.js";

/** Milliseconds, medians; a head's word and the argmax of every row of the final head are read back. */
export interface UnitTimes extends UnitCosts {
  /**
   * Making the keys and values of n blocks for a token that leaves at each exit. 0 for fills that run blocks instead:
   * those are counted as blocks.
   */
  readonly fills: readonly { readonly blocks: number; readonly cost: number }[];
}

export interface MeasureUnitsOptions {
  /** @default "lazy" */
  readonly fill?: FillName;
  /** Cached positions. @default 64, or half the context limit if shorter */
  readonly context?: number;
  /** Rows at once, ascending from 1. @default [1, 2, 3, 4, 5, 6, 8] */
  readonly rows?: readonly number[];
  /** Milliseconds to measure for, after a third of it to warm up; at least five rounds. @default 1000 */
  readonly time?: number;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

const WARM_UP_ROUNDS = 2;
const ROUNDS = 5;

/**
 * Measures on the heads' own model and device. Units take turns as in decoding, a head after every pass: what is used
 * seldom has left the caches when it is used again, and would seem dearer than it is.
 */
export async function measureUnitTimes(heads: ExitHeads, options: MeasureUnitsOptions = {}): Promise<UnitTimes> {
  const { model } = heads;
  const { numLayers, maxPositionEmbeddings, vocabSize } = model.config;
  const {
    fill = "lazy",
    context = Math.min(64, maxPositionEmbeddings >> 1),
    rows = [1, 2, 3, 4, 5, 6, 8],
    time = 1000,
    now = () => performance.now(),
  } = options;
  requireInteger("measureUnitTimes: context", context, 1, maxPositionEmbeddings - Math.max(...rows));
  requireNumber("measureUnitTimes: time", time, 0, 1e9);
  await heads.freeze();
  const id = (i: number): number => (i * 7919 + 13) % vocabSize;
  const sequence = new Sequence(model, context + Math.max(...rows));
  sequence.append(...Array.from({ length: context }, (_, i) => id(i)));
  advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);

  const samples = new Map<string, number[]>();
  const sample = async (name: string, run: () => unknown): Promise<void> => {
    const started = now();
    await run();
    const list = samples.get(name) ?? [];
    list.push(now() - started);
    samples.set(name, list);
  };
  const filled = heads.depths.map((depth) => fills[fill].blocks(model.config, depth));
  // Blocks that a fill runs are not of its time: with `shared` a position first runs up to the block whose keys and
  // values are shared.
  const below = fill === "shared" ? keyValueLayers(model.config) - 1 : 0;
  const round = async (): Promise<void> => {
    for (const count of rows) {
      sequence.append(...Array.from({ length: count }, (_, i) => id(context + i)));
      await sample(`block ${count}`, () => {
        advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
      });
      await sample(`final ${count}`, async () => {
        const logits = scope(() => model.unembed(sequence.hidden(context, context + count)));
        await argmax(logits);
        logits.dispose();
      });
      sequence.truncate(context);
      for (const [exit, head] of heads.heads.entries()) {
        sequence.append(id(context));
        advance(model, [{ sequence, positions: sequence.pending(head.depth) }], head.depth);
        await sample(`head ${exit}`, async () => {
          const logits = scope(() => head.logits(sequence.hidden(context)));
          await head.readConfidences(logits);
          logits.dispose();
        });
        if (head.gate !== undefined) await sample(`gate ${exit}`, () => head.gate!.read(sequence.hidden(context)));
        if (head.depth < below) advance(model, [{ sequence, positions: sequence.pending(below) }], below);
        if (filled[exit]! > 0) {
          await sample(`fill ${exit}`, () => {
            fills[fill].apply(heads, sequence, context, exit);
          });
        }
        sequence.truncate(context);
      }
    }
  };
  const repeat = async (least: number, until: number): Promise<void> => {
    for (let done = 0; done < least || now() < until; done++) await round();
  };
  await repeat(WARM_UP_ROUNDS, now() + time / 3);
  samples.clear();
  await repeat(ROUNDS, now() + time);
  sequence.dispose();
  const median = (name: string): number => {
    const sorted = (samples.get(name) ?? [0]).toSorted((a, b) => a - b);
    return sorted[sorted.length >> 1]!;
  };
  return {
    block: rows.map((count) => ({ rows: count, cost: median(`block ${count}`) / numLayers })),
    heads: heads.depths.map((_, exit) => median(`head ${exit}`)),
    ...(heads.scores.includes("gate") && { gates: heads.depths.map((_, exit) => median(`gate ${exit}`)) }),
    finalHead: rows.map((count) => ({ rows: count, cost: median(`final ${count}`) })),
    fills: filled.map((blocks, exit) => ({ blocks, cost: median(`fill ${exit}`) })),
  };
}

/** Milliseconds that decoding should take by its counts and the unit times. */
export function predictTime(
  { passesByRows, headsByExit, gatesByExit, fillsByBlocks, finalHeadsByRows }: LedgerReport,
  times: UnitTimes,
): number {
  const byRows = (counts: readonly number[], costs: CostsByRows): number =>
    counts.reduce((sum, count, rows) => (count === 0 ? sum : sum + count * costOfRows(costs, rows)), 0);
  const evaluated = headsByExit.reduce(
    (sum, count, exit) => sum + count * times.heads[exit]! + gatesByExit[exit]! * (times.gates?.[exit] ?? 0),
    0,
  );
  const filled = fillsByBlocks.reduce(
    (sum, positions, blocksOf) => sum + positions * (times.fills.find(({ blocks: n }) => n === blocksOf)?.cost ?? 0),
    0,
  );
  return byRows(passesByRows, times.block) + evaluated + filled + byRows(finalHeadsByRows, times.finalHead);
}
