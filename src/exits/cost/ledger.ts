/**
 * The ledger: what decoding did, counted as it ran, never estimated. Whoever runs blocks, heads or fills tells it
 * (`WorkMeter`); it turns that into multiply-adds, bytes of weights (a batch of k rows reads them once) and bytes of
 * keys and values, per step and per run. Norms, activations, softmax and the embedding's rows are left out.
 * Multiply-adds per token at a context of T:
 *   block: C·HD (query) + 2·C·GD (keys, values; none where they are shared) + HD·C (out) + 2·T·HD (scores and their sum) + 2 or 3·C·F (MLP)
 *   dense C·V    tied C·C + C·V    lowRank r·(C + V)    mlp 2·C·m + C·V    shortlist C·(n + 1)    a gate m·(C + 2)
 */
import {
  bytesOf,
  keyValueLayers,
  type Model,
  type ModelConfig,
  multiplyAddsOf,
  type UnitWork,
  type WorkMeter,
} from "../../model/index.js";
import type { ExitHeads } from "../heads/index.js";

/** The context length at which costs are quoted, unless the model's own is shorter. */
export const QUOTED_CONTEXT = 256;

/** Multiply-adds of block `layer` (0-based; only those that share keys and values differ) for one token. */
export function blockCost(config: ModelConfig, context = QUOTED_CONTEXT, layer = 0): number {
  const { hiddenSize: c, numHeads, numKvHeads, headDim, intermediateSize: f, gatedMlp } = config;
  const query = numHeads * headDim;
  const keyValue = layer < keyValueLayers(config) ? numKvHeads * headDim : 0;
  return 2 * c * query + 2 * c * keyValue + 2 * context * query + (gatedMlp ? 3 : 2) * c * f;
}

/** Everything that is counted. A row is one position of one sequence. */
export interface Counts {
  /** Tokens chosen. */
  tokens: number;
  /** Rows through blocks, summed over the blocks. */
  blocks: number;
  /** Blocks run, however many rows at once: how often a block's weights were read. */
  blockPasses: number;
  /** Cached positions that rows attended to, summed over rows and blocks. */
  attended: number;
  /** Exit heads evaluated (rows), taken or not. */
  heads: number;
  /** Gates evaluated (rows), passed or not. */
  gates: number;
  /** The model's own final head (rows). */
  finalHeads: number;
  /** Blocks whose keys and values were made for a position without running them, summed over positions. */
  fills: number;
  multiplyAdds: number;
  weightBytes: number;
  keyValueBytesRead: number;
  keyValueBytesWritten: number;
  /** Tokens that exits drafted; those among them that the full model refused. */
  drafted: number;
  wastedDrafts: number;
}

export type CountName = keyof Counts;

const ZERO: Counts = {
  tokens: 0,
  blocks: 0,
  blockPasses: 0,
  attended: 0,
  heads: 0,
  gates: 0,
  finalHeads: 0,
  fills: 0,
  multiplyAdds: 0,
  weightBytes: 0,
  keyValueBytesRead: 0,
  keyValueBytesWritten: 0,
  drafted: 0,
  wastedDrafts: 0,
};

/** One sequence that was decoded. */
export interface DecodedRun {
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** What decoding did, counted as it ran, beside what plain decoding would have done. */
export interface LedgerReport {
  /** Prompts but their last positions. */
  readonly prefill: Readonly<Counts>;
  /**
   * One entry per step after the prefill: a token, or a round of lossless decoding. Deferred blocks are charged to the
   * step that needed them.
   */
  readonly steps: readonly Readonly<Counts>[];
  /** The sum of the steps: all decoding. */
  readonly decode: Readonly<Counts>;
  /** What plain decoding, one token of one sequence at a time, costs for as many tokens at the same positions. */
  readonly plain: Readonly<Counts>;
  /** Evaluations of each exit's head in decoding, shallow to deep; and of its gate. */
  readonly headsByExit: readonly number[];
  readonly gatesByExit: readonly number[];
  /** passesByRows[k]: blocks run in decoding with k rows at once. */
  readonly passesByRows: readonly number[];
  /** finalHeadsByRows[k]: times that the model's own final head was evaluated for k rows at once. */
  readonly finalHeadsByRows: readonly number[];
  /** fillsByBlocks[n]: positions for which the keys and values of n blocks were made without running them. */
  readonly fillsByBlocks: readonly number[];
}

interface BlockWork extends UnitWork {
  /** Bytes of keys and values that a row adds. */
  readonly written: number;
  /** Of making keys and values alone; nothing where they are shared. */
  readonly keyValue: UnitWork;
}

/** Float32 elements of keys and values are cached, whatever the weights' dtype. */
const KEY_VALUE_BYTES = 4;

export class Ledger implements WorkMeter {
  readonly #model: Model;
  readonly #heads: ExitHeads | undefined;
  readonly #layers: readonly BlockWork[];
  readonly #unembedding: UnitWork;
  /** Known once the heads are packed, so asked for when first evaluated. */
  readonly #headWork: UnitWork[] = [];
  readonly #gateWork: UnitWork[] = [];
  readonly #steps: Counts[] = [];
  readonly #prefills: Counts[] = [];
  readonly #headsByExit: number[];
  readonly #gatesByExit: number[];
  readonly #passesByRows: number[] = [];
  readonly #finalHeadsByRows: number[] = [];
  readonly #fillsByBlocks: number[] = [];
  /** The step under way: which passes and heads it had is known to belong to decoding when it ends with a token. */
  #open: Counts = { ...ZERO };
  #openPasses: number[] = [];
  #openHeads: number[] = [];

  /** A ledger of one run: of a model, or of heads and their model. */
  constructor(source: Model | ExitHeads) {
    this.#heads = "heads" in source ? source : undefined;
    this.#model = "heads" in source ? source.model : source;
    const { blocks, unembedding, finalNorm } = this.#model.weights;
    this.#layers = blocks.map((block) => ({
      multiplyAdds: multiplyAddsOf(block),
      bytes: bytesOf(block),
      written: KEY_VALUE_BYTES * (block.keyValue?.weight.shape[0] ?? 0),
      keyValue: {
        multiplyAdds: block.keyValue ? multiplyAddsOf(block.keyValue) : 0,
        bytes: block.keyValue ? bytesOf(block.keyValue) + bytesOf(block.attentionNorm) : 0,
      },
    }));
    this.#unembedding = { multiplyAdds: multiplyAddsOf(unembedding), bytes: bytesOf(unembedding) + bytesOf(finalNorm) };
    this.#headsByExit = (this.#heads?.depths ?? []).map(() => 0);
    this.#gatesByExit = [...this.#headsByExit];
  }

  block(layer: number, rows: number, attended: number): void {
    addBlock(this.#open, this.#model, this.#layers[layer]!, rows, attended);
    this.#openPasses[rows] = (this.#openPasses[rows] ?? 0) + 1;
  }

  unembed(rows: number): void {
    addFinalHead(this.#open, this.#unembedding, rows);
    this.#finalHeadsByRows[rows] = (this.#finalHeadsByRows[rows] ?? 0) + 1;
  }

  /** `rows` states became the logits of the head at index `exit`, together. */
  head(exit: number, rows = 1): void {
    const { multiplyAdds, bytes } = (this.#headWork[exit] ??= workOf(this.#heads!.heads[exit]!));
    this.#open.heads += rows;
    this.#open.multiplyAdds += rows * multiplyAdds;
    this.#open.weightBytes += bytes;
    this.#openHeads[exit] = (this.#openHeads[exit] ?? 0) + rows;
  }

  /** `rows` states were put to the gate of the head at index `exit`, together. */
  gate(exit: number, rows = 1): void {
    const { multiplyAdds, bytes } = (this.#gateWork[exit] ??= this.#heads!.heads[exit]!.gate!.work);
    this.#open.gates += rows;
    this.#open.multiplyAdds += rows * multiplyAdds;
    this.#open.weightBytes += bytes;
    this.#gatesByExit[exit]! += rows;
  }

  /**
   * Keys and values of `blocks` skipped blocks of one position were made by products of so many multiply-adds and bytes
   * of weights.
   */
  fill(blocks: number, { multiplyAdds, bytes }: UnitWork): void {
    this.#open.fills += blocks;
    this.#fillsByBlocks[blocks] = (this.#fillsByBlocks[blocks] ?? 0) + 1;
    this.#open.multiplyAdds += multiplyAdds;
    this.#open.weightBytes += bytes;
    this.#open.keyValueBytesWritten += blocks * this.#layers[0]!.written;
  }

  /** Keys and values of these skipped blocks (0-based) of one position were made by the blocks' own products. */
  fillByBlocks(layers: readonly number[]): void {
    let multiplyAdds = 0;
    let bytes = 0;
    for (const layer of layers) {
      const { keyValue } = this.#layers[layer]!;
      multiplyAdds += keyValue.multiplyAdds;
      bytes += keyValue.bytes;
    }
    this.fill(layers.length, { multiplyAdds, bytes });
  }

  /** The full model's word on drafted tokens: how many there were, and how many of them were for nothing. */
  drafts(drafted: number, wasted: number): void {
    this.#open.drafted += drafted;
    this.#open.wastedDrafts += wasted;
  }

  step(tokens: number): void {
    this.#open.tokens += tokens;
    if (tokens === 0) this.#prefills.push(this.#open);
    else {
      this.#steps.push(this.#open);
      this.#openPasses.forEach((passes, rows) => (this.#passesByRows[rows] = (this.#passesByRows[rows] ?? 0) + passes));
      this.#openHeads.forEach((rows, exit) => (this.#headsByExit[exit]! += rows));
    }
    this.#open = { ...ZERO };
    this.#openPasses = [];
    this.#openHeads = [];
  }

  /** What was counted in whole steps so far, beside plain decoding of the same runs. */
  report(runs: readonly DecodedRun[]): LedgerReport {
    return {
      prefill: sumCounts(this.#prefills),
      steps: [...this.#steps],
      decode: sumCounts(this.#steps),
      plain: this.#plain(runs),
      headsByExit: [...this.#headsByExit],
      gatesByExit: [...this.#gatesByExit],
      passesByRows: filled(this.#passesByRows),
      finalHeadsByRows: filled(this.#finalHeadsByRows),
      fillsByBlocks: filled(this.#fillsByBlocks),
    };
  }

  #plain(runs: readonly DecodedRun[]): Counts {
    const counts = { ...ZERO };
    for (const { promptTokens, newTokens } of runs) {
      counts.tokens += newTokens;
      for (let length = promptTokens; length < promptTokens + newTokens; length++) {
        for (const layer of this.#layers) addBlock(counts, this.#model, layer, 1, length);
        addFinalHead(counts, this.#unembedding, 1);
      }
    }
    return counts;
  }
}

/** Counts by index, 0 where none was counted. */
function filled(counts: readonly (number | undefined)[]): number[] {
  return Array.from(counts, (count) => count ?? 0);
}

/** A copy of the numbers alone: a head computes them anew each time it is asked. */
function workOf({ multiplyAdds, bytes }: UnitWork): UnitWork {
  return { multiplyAdds, bytes };
}

/** The sum of counts, entry by entry. */
export function sumCounts(parts: readonly Readonly<Counts>[]): Counts {
  const total = { ...ZERO };
  for (const part of parts) {
    for (const name of Object.keys(total) as CountName[]) total[name] += part[name];
  }
  return total;
}

function addBlock(
  counts: Counts,
  { config: { numHeads, numKvHeads, headDim } }: Model,
  { multiplyAdds, bytes, written }: BlockWork,
  rows: number,
  attended: number,
): void {
  counts.blocks += rows;
  counts.blockPasses++;
  counts.attended += attended;
  counts.multiplyAdds += rows * multiplyAdds + 2 * attended * numHeads * headDim;
  counts.weightBytes += bytes;
  counts.keyValueBytesRead += attended * 2 * numKvHeads * headDim * KEY_VALUE_BYTES;
  counts.keyValueBytesWritten += rows * written;
}

function addFinalHead(counts: Counts, { multiplyAdds, bytes }: UnitWork, rows: number): void {
  counts.finalHeads += rows;
  counts.multiplyAdds += rows * multiplyAdds;
  counts.weightBytes += bytes;
}
