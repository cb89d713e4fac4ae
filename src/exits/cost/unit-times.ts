/**
 * Unit times: those of a block, a head, a fill and the final head on this machine, run in turn as in decoding. With a
 * ledger's counts they predict the time of a run:
 *     time = Σ_k passes of k rows · block(k) + Σ heads · head + Σ fills · fill
 *            + Σ_k final heads of k rows · finalHead(k)
 * Left out is what happens in between (choosing, text, the event loop).
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { runTo } from "../../model/advance.js";
import { keyValueLayers, type Model, Sequence } from "../../model/index.js";
import { finalLogits } from "../../model/decode/final-logits.js";
import type { Tensor } from "../../tensor/index.js";
import { giveTurn } from "../../turns.js";
import { checkFill, type FillName, fills, requireFillFor } from "../fill/fill.js";
import { ExitHeads } from "../heads/exit-heads.js";
import type { LedgerReport } from "./ledger.js";
import { costOfRows, type UnitCosts } from "./unit-costs.js";

/**
 * Medians in milliseconds. They include reading back a head's confidence, and the argmax of every row of the final
 * head, screened if the model screens.
 */
export interface UnitTimes extends UnitCosts {
  /**
   * Per exit: making keys and values of `blocks` blocks for a token that leaves there. 0 for fills that run blocks
   * instead, which count as blocks.
   */
  readonly fills: readonly { readonly blocks: number; readonly cost: number }[];
}

interface MeasureUnitsOptions {
  /** @default "lazy" */
  readonly fill?: FillName;
  /** Cached positions. @default 64, or half the context limit if that is shorter */
  readonly context?: number;
  /** Ascending from 1. @default [1, 2, 3, 4, 5, 6, 8] */
  readonly rows?: readonly number[];
  /** Milliseconds, after a warm-up of a third of it; at least five rounds. @default 1000 */
  readonly time?: number;
  readonly signal?: CancelSignal;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

const WARM_UP_ROUNDS = 2;
const ROUNDS = 5;

/**
 * Measures on the heads' own model and device; of a model without heads, blocks and the final head. Units take turns as
 * in decoding: one that ran less often would have left the CPU's caches, and seem more expensive than it is. The event
 * loop gets its turns between two units. Throws an OptionError for an option outside its range, and a PolicyError for a
 * fill that the heads cannot make.
 *
 * @example
 * ```ts
 * import { measureUnitTimes } from "early-exits";
 * import { readHeads, readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const heads = await readHeads("node_modules/early-exits/models/sotu-12/heads", model);
 * const times = await measureUnitTimes(heads, { fill: "shared", time: 20 });
 * console.log(times.block[0]!.cost > 0); // true
 * ```
 */
export async function measureUnitTimes(
  source: Model | ExitHeads,
  options: MeasureUnitsOptions = {},
): Promise<UnitTimes> {
  const heads = source instanceof ExitHeads ? source : new ExitHeads(source, [], undefined);
  const { model } = heads;
  const { numLayers, maxPositionEmbeddings } = model.config;
  const {
    fill = "lazy",
    context = Math.min(64, maxPositionEmbeddings >> 1),
    rows = [1, 2, 3, 4, 5, 6, 8],
    time = 1000,
    signal,
    now = () => performance.now(),
  } = options;
  requireFillFor(heads, checkFill(fill));
  requireRows(rows);
  requireInteger("measureUnitTimes: context", context, 1, maxPositionEmbeddings - Math.max(...rows));
  requireNumber("measureUnitTimes: time", time, 1e9);
  const sequence = new Sequence(model, context + Math.max(...rows));
  const stopwatch = createStopwatch(now);
  const repeat = async (leastRounds: number, until: number): Promise<void> => {
    for (let done = 0; done < leastRounds || now() < until; done++) {
      for (const count of rows) {
        await giveTurn(signal);
        await timeRows(heads, sequence, count, stopwatch);
      }
      for (const exit of heads.depths.keys()) await timeExit(heads, sequence, exit, fill, stopwatch);
    }
  };
  try {
    appendIds(sequence, context);
    runTo(sequence, numLayers);
    await repeat(WARM_UP_ROUNDS, now() + time / 3);
    stopwatch.reset();
    await repeat(ROUNDS, now() + time);
  } finally {
    sequence.dispose();
  }

  const { median } = stopwatch;
  return {
    block: rows.map((count) => ({ rows: count, cost: median(`block ${count}`) / numLayers })),
    heads: heads.depths.map((_, exit) => median(`head ${exit}`)),
    finalHead: rows.map((count) => ({ rows: count, cost: median(`final ${count}`) })),
    fills: heads.depths.map((depth, exit) => ({
      blocks: fills[fill].blocks(model.config, depth),
      cost: median(`fill ${exit}`),
    })),
  };
}

/** Milliseconds; their sum is `predictTime`. */
export interface TimeParts {
  /** One row of every pass of a block: for one text, the newest token's. */
  readonly blocks: number;
  /** Other rows of passes: skipped blocks that run later, drafts under verification, a batch. */
  readonly furtherRows: number;
  readonly heads: number;
  /** Keys and values made in place of blocks. */
  readonly fills: number;
  /** Final norm and unembedding. */
  readonly finalHead: number;
}

/** Milliseconds that decoding should take. */
export function predictTime(report: LedgerReport, times: UnitTimes): number {
  const { blocks, furtherRows, heads, fills, finalHead } = predictParts(report, times);
  return blocks + furtherRows + heads + fills + finalHead;
}

export function predictParts(
  { passesByRows, headsByExit, fillsByBlocks, finalHeadsByRows }: LedgerReport,
  times: UnitTimes,
): TimeParts {
  const sumOf = (counts: readonly number[], costAt: (index: number) => number): number =>
    counts.reduce((sum, count, index) => (count === 0 ? sum : sum + count * costAt(index)), 0);
  const oneRow = costOfRows(times.block, 1);
  return {
    blocks: sumOf(passesByRows, () => oneRow),
    furtherRows: sumOf(passesByRows, (rows) => costOfRows(times.block, rows) - oneRow),
    heads: sumOf(headsByExit, (exit) => times.heads[exit]!),
    fills: sumOf(fillsByBlocks, (blocks) => times.fills.find((fill) => fill.blocks === blocks)?.cost ?? 0),
    finalHead: sumOf(finalHeadsByRows, (rows) => costOfRows(times.finalHead, rows)),
  };
}

function requireRows(rows: readonly number[]): void {
  for (const [i, count] of rows.entries()) {
    requireInteger(`measureUnitTimes: rows[${i}]`, count, i === 0 ? 1 : rows[i - 1]! + 1, i === 0 ? 1 : undefined);
  }
  if (rows.length > 0) return;
  throw new OptionError("option-range", "measureUnitTimes: rows is empty; give numbers of rows, ascending from 1", {
    rows,
  });
}

/** Times all blocks, then the final head, for `count` further positions together. */
async function timeRows({ model }: ExitHeads, sequence: Sequence, count: number, { sample }: Stopwatch): Promise<void> {
  const context = sequence.length;
  appendIds(sequence, count);
  await sample(`block ${count}`, () => {
    runTo(sequence, model.config.numLayers);
  });
  await sample(`final ${count}`, async () => {
    const states = (): Tensor => sequence.hidden(context, context + count);
    await finalLogits(model, states, Array<number>(count).fill(1));
  });
  sequence.truncate(context);
}

/** Times the head and the fill of one exit for one further position. */
async function timeExit(
  heads: ExitHeads,
  sequence: Sequence,
  exit: number,
  fill: FillName,
  { sample }: Stopwatch,
): Promise<void> {
  const { config } = heads.model;
  const head = heads.heads[exit]!;
  const context = sequence.length;
  appendIds(sequence, 1);
  runTo(sequence, head.depth);
  await sample(`head ${exit}`, async () => {
    const state = sequence.hidden(context);
    const logits = await head.logits(state);
    state.dispose();
    await head.confidences(logits);
    logits.dispose();
  });
  // With `shared`, a position first runs up to the block whose keys and values are shared; those blocks are counted as
  // blocks, not as the fill.
  const below = fill === "shared" ? keyValueLayers(config) - 1 : 0;
  if (head.depth < below) runTo(sequence, below);
  if (fills[fill].blocks(config, head.depth) > 0) {
    await sample(`fill ${exit}`, () => {
      fills[fill].apply(heads, sequence, context, exit);
    });
  }
  sequence.truncate(context);
}

/**
 * Appends `count` tokens: eight frequent ones (near the beginning of a vocabulary) in turn. After ids that make no
 * sense all tokens are likely, and screening the unembedding takes longer than in any text.
 */
function appendIds(sequence: Sequence, count: number): void {
  const { vocabSize } = sequence.model.config;
  const start = sequence.length;
  const idAt = (position: number): number => ((vocabSize >> 6) + 97 * (position % 8)) % vocabSize;
  sequence.append(...Array.from({ length: count }, (_, i) => idAt(start + i)));
}

type Stopwatch = ReturnType<typeof createStopwatch>;

/** Times by name. */
function createStopwatch(now: () => number) {
  const samples = new Map<string, number[]>();
  return {
    sample: async (name: string, run: () => unknown) => {
      const started = now();
      await run();
      const list = samples.get(name) ?? [];
      list.push(now() - started);
      samples.set(name, list);
    },
    reset: () => {
      samples.clear();
    },
    /** The upper median; 0 without samples. */
    median: (name: string) => {
      const sorted = (samples.get(name) ?? [0]).toSorted((a, b) => a - b);
      return sorted[sorted.length >> 1]!;
    },
  };
}
