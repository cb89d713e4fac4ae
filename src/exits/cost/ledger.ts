/**
 * Counts what decoding did, as it ran. Code that runs blocks, heads or fills reports each call (`WorkMeter`), of which
 * the ledger makes three sums, per step and per run:
 *   multiplyAdds         of all products, per row (position)
 *   weightBytes          of the weights that were read: once per call, however many rows the call has
 *   keyValueBytesRead    and keyValueBytesWritten: traffic of the KV cache
 *
 * Multiply-adds of one row at a context of T positions, and of the parts that are not blocks:
 *   block         C·HD (query) + 2·C·GD (keys and values; none if they are shared) + HD·C (output)
 *                 + 2·T·HD (attention scores and weighted sum) + 2·C·F (MLP; 3·C·F if it is gated)
 *   final head    C·V; screened C·(V + n), where n logits were computed exactly after bounds on all of them
 *   exit head     as its kind says (heads/): dense C·V, linear C·C + C·V; with a preview of N tokens and n candidates
 *                 r·(C + N) + C·n in place of C·V, or r·C + s·N + (r - s)·m + C·n if s components leave m tokens
 *   fill          as its strategy says (fill/)
 *
 * Left out: norms, activations, softmax, and the rows of the embedding.
 */
import { attentionOf, type BlockWeights, type Model, type ModelConfig } from "../../model/index.js";
import type { ScreenedUnembed } from "../../model/meter.js";
import { blockCacheBytes } from "../../model/sequence.js";
import { bytesOf, multiplyAddsOf, type UnitWork } from "../../model/weights.js";
import type { ExitHeads } from "../heads/exit-heads.js";

interface DecodedRun {
  readonly promptTokens: number;
  readonly newTokens: number;
}

/**
 * Counts per step and per run. A row is one position of one sequence; a call of a block or a head has one or several
 * rows, and reads its weights once.
 */
export type Counts = ReturnType<typeof noCounts>;

function noCounts() {
  return {
    /** Tokens chosen. */
    tokens: 0,
    /** Rows that ran through a block, summed over the blocks. */
    blocks: 0,
    /** Calls of a block: how often its weights were read. */
    blockPasses: 0,
    /** Cached positions that rows attended to, summed over rows and blocks. */
    attended: 0,
    /** Rows for which an exit head was evaluated. */
    heads: 0,
    /** Rows for which the model's own final head was evaluated. */
    finalHeads: 0,
    /** Those among them whose unembedding was screened. */
    screenedHeads: 0,
    /** Logits computed exactly for them. */
    exactLogits: 0,
    /** Blocks whose keys and values were made without running them, summed over positions. */
    fills: 0,
    /** Multiply-adds of everything above; formulas at the top. */
    multiplyAdds: 0,
    /** Weights read, as stored. */
    weightBytes: 0,
    /** KV cache that attention read. */
    keyValueBytesRead: 0,
    /** KV cache that blocks and fills wrote. */
    keyValueBytesWritten: 0,
    /** Tokens that were drafted, in lossless decoding or beside exits. */
    drafted: 0,
    /** Drafted tokens that were not accepted. */
    wastedDrafts: 0,
  };
}

export type CountName = keyof Counts;

export function sumCounts(parts: readonly Readonly<Counts>[]): Counts {
  const total = noCounts();
  for (const part of parts) {
    for (const name of Object.keys(total) as CountName[]) total[name] += part[name];
  }
  return total;
}

/** Counts beside those of plain decoding. */
export interface LedgerReport {
  /** The prefill: prompts without their last positions. */
  readonly prefill: Readonly<Counts>;
  /**
   * One entry per step after the prefill: a token, or a round of lossless decoding (of all sequences of a batch).
   * Deferred blocks count in the step that needed them.
   */
  readonly steps: readonly Readonly<Counts>[];
  /** The sum of the steps. */
  readonly decode: Readonly<Counts>;
  /**
   * Plain decoding with the full unembedding, one token of one sequence at a time, for as many tokens at the same
   * positions.
   */
  readonly plain: Readonly<Counts>;
  /** headsByExit[e]: rows for which the head of exit e was evaluated in decoding. */
  readonly headsByExit: readonly number[];
  /** passesByRows[k]: calls of a block with k rows in decoding. */
  readonly passesByRows: readonly number[];
  /** finalHeadsByRows[k]: calls of the model's own final head with k rows. */
  readonly finalHeadsByRows: readonly number[];
  /** fillsByBlocks[n]: positions for which n blocks' keys and values were made without running them. */
  readonly fillsByBlocks: readonly number[];
}

/** Work of one row in one block. */
interface BlockWork extends UnitWork {
  /** Bytes of keys and values added to the KV cache. */
  readonly written: number;
  /** Bytes of keys and values read for each attended position. */
  readonly read: number;
  /** Makes keys and values; nothing if the block shares those of another. */
  readonly keyValue: UnitWork;
}

export type Ledger = ReturnType<typeof ledgerOf>;

export function ledgerOf(source: Model | ExitHeads) {
  const [model, exits] = "heads" in source ? [source.model, source] : [source, undefined];
  const { blocks, unembedding, finalNorm } = model.weights;
  const cached = blockCacheBytes(model.config, model.kvCache);
  const layers = blocks.map((block) => blockWork(block, cached));
  const finalHead = { multiplyAdds: multiplyAddsOf(unembedding), bytes: bytesOf(unembedding) + bytesOf(finalNorm) };
  /** By exit, then of the look-ahead head, filled in at the first evaluation: heads know their bytes once packed. */
  const headWork: UnitWork[] = [];
  const steps: Counts[] = [];
  const prefills: Counts[] = [];
  const headsByExit = (exits?.depths ?? []).map(() => 0);
  const passesByRows: number[] = [];
  const finalHeadsByRows: number[] = [];
  const fillsByBlocks: number[] = [];
  /** The step under way; only at its end is it known to be prefill or decoding. */
  let open: Counts = noCounts();
  let openPasses: number[] = [];
  let openHeads: number[] = [];

  /** Every block and the final head, one row at a time. */
  const plainOf = (runs: readonly DecodedRun[]): Counts => {
    const counts = noCounts();
    for (const { promptTokens, newTokens } of runs) {
      counts.tokens += newTokens;
      for (let length = promptTokens; length < promptTokens + newTokens; length++) {
        for (const [layer, work] of layers.entries()) {
          const { window = Infinity } = attentionOf(model.config, layer);
          addBlock(counts, model, work, 1, Math.min(length, window));
        }
        counts.finalHeads++;
        addProduct(counts, finalHead, 1);
      }
    }
    return counts;
  };
  /** One product made the keys and values of `blocks` skipped blocks for one position. */
  const fill = (blocks: number, work: UnitWork): void => {
    open.fills += blocks;
    addTo(fillsByBlocks, blocks, 1);
    addProduct(open, work, 1);
    open.keyValueBytesWritten += blocks * layers[0]!.written;
  };

  return {
    block(layer: number, rows: number, attended: number): void {
      addBlock(open, model, layers[layer]!, rows, attended);
      addTo(openPasses, rows, 1);
    },

    keyValues(layer: number, rows: number): void {
      const { keyValue, written } = layers[layer]!;
      addProduct(open, keyValue, rows);
      open.keyValueBytesWritten += rows * written;
    },

    unembed(rows: number, screened?: ScreenedUnembed): void {
      open.finalHeads += rows;
      if (screened !== undefined) addScreened(open, model.config, rows, screened);
      if (screened === undefined || screened.full) addProduct(open, finalHead, rows);
      addTo(finalHeadsByRows, rows, 1);
    },

    /** Exit `exit` (0-based) computed logits for `rows` states in one call. */
    head(exit: number, rows: number): void {
      open.heads += rows;
      addProduct(open, (headWork[exit] ??= exits!.heads[exit]!.work), rows);
      addTo(openHeads, exit, rows);
    },

    /** The look-ahead head guessed after `rows` states in one call. */
    look(rows: number): void {
      const { depths, ahead } = exits!;
      addProduct(open, (headWork[depths.length] ??= ahead!.work), rows);
    },

    fill,

    /** This skipped block's (0-based) own product made its keys and values for one position. */
    fillByBlock: (layer: number): void => fill(1, layers[layer]!.keyValue),

    /** Ends a round with drafts, with `wasted` drafts not accepted. */
    drafts(drafted: number, wasted: number): void {
      open.drafted += drafted;
      open.wastedDrafts += wasted;
    },

    step(tokens: number): void {
      open.tokens += tokens;
      if (tokens === 0) {
        prefills.push(open);
      } else {
        steps.push(open);
        openPasses.forEach((passes, rows) => {
          addTo(passesByRows, rows, passes);
        });
        openHeads.forEach((rows, exit) => {
          addTo(headsByExit, exit, rows);
        });
      }
      open = noCounts();
      openPasses = [];
      openHeads = [];
    },

    /** Counts of the steps that ended, beside plain decoding of the same runs. */
    report: (runs: readonly DecodedRun[]): LedgerReport => ({
      prefill: sumCounts(prefills),
      steps: [...steps],
      decode: sumCounts(steps),
      plain: plainOf(runs),
      headsByExit: [...headsByExit],
      passesByRows: filled(passesByRows),
      finalHeadsByRows: filled(finalHeadsByRows),
      fillsByBlocks: filled(fillsByBlocks),
    }),
  };
}

/** The list is sparse. */
function addTo(counts: number[], index: number, amount: number): void {
  counts[index] = (counts[index] ?? 0) + amount;
}

function filled(counts: readonly (number | undefined)[]): number[] {
  return Array.from(counts, (count) => count ?? 0);
}

/** `cached`: bytes of keys and values per position. */
function blockWork(block: BlockWeights, cached: number): BlockWork {
  const { keyValue, attentionNorm } = block;
  return {
    multiplyAdds: multiplyAddsOf(block),
    bytes: bytesOf(block),
    written: keyValue ? cached : 0,
    read: cached,
    keyValue: {
      multiplyAdds: keyValue ? multiplyAddsOf(keyValue) : 0,
      bytes: keyValue ? bytesOf(keyValue) + (attentionNorm ? bytesOf(attentionNorm) : 0) : 0,
    },
  };
}

function addBlock(counts: Counts, { config }: Model, work: BlockWork, rows: number, attended: number): void {
  counts.blocks += rows;
  counts.blockPasses++;
  addProduct(counts, work, rows);
  counts.keyValueBytesWritten += rows * work.written;
  counts.attended += attended;
  counts.multiplyAdds += 2 * attended * config.numHeads * config.headDim;
  counts.keyValueBytesRead += attended * work.read;
}

function addProduct(counts: Counts, { multiplyAdds, bytes }: UnitWork, rows: number): void {
  counts.multiplyAdds += rows * multiplyAdds;
  counts.weightBytes += bytes;
}

/** A state without bounds was given up before anything was read. */
function addScreened(
  counts: Counts,
  { hiddenSize, vocabSize }: ModelConfig,
  rows: number,
  { exactLogits, bytes }: ScreenedUnembed,
): void {
  counts.screenedHeads += rows;
  counts.exactLogits += exactLogits;
  counts.multiplyAdds += ((bytes === 0 ? 0 : rows * vocabSize) + exactLogits) * hiddenSize;
  counts.weightBytes += bytes;
}
