/**
 * Counts of the ledger (ledger.ts), per step and per run. A row is one position of one sequence; a call of a block or a
 * head has one or several rows, and reads its weights once.
 */

export interface Counts {
  /** Tokens chosen. */
  tokens: number;
  /** Rows that ran through a block, summed over the blocks. */
  blocks: number;
  /** Calls of a block: how often its weights were read. */
  blockPasses: number;
  /** Cached positions that rows attended to, summed over rows and blocks. */
  attended: number;
  /** Rows for which an exit head was evaluated. */
  heads: number;
  /** Rows for which the model's own final head was evaluated. */
  finalHeads: number;
  /** Of those, rows whose unembedding was screened. */
  screenedHeads: number;
  /** Logits computed exactly for them. */
  exactLogits: number;
  /** Blocks whose keys and values were made without running them, summed over positions. */
  fills: number;
  /** Of everything above; formulas in ledger.ts. */
  multiplyAdds: number;
  /** Weights read, as stored. */
  weightBytes: number;
  /** KV cache that attention read. */
  keyValueBytesRead: number;
  /** KV cache that blocks and fills wrote. */
  keyValueBytesWritten: number;
  /** Tokens that were drafted (lossless decoding). */
  drafted: number;
  /** Drafted tokens that were not accepted. */
  wastedDrafts: number;
}

export type CountName = keyof Counts;

export function noCounts(): Counts {
  return {
    tokens: 0,
    blocks: 0,
    blockPasses: 0,
    attended: 0,
    heads: 0,
    finalHeads: 0,
    screenedHeads: 0,
    exactLogits: 0,
    fills: 0,
    multiplyAdds: 0,
    weightBytes: 0,
    keyValueBytesRead: 0,
    keyValueBytesWritten: 0,
    drafted: 0,
    wastedDrafts: 0,
  };
}

export function sumCounts(parts: readonly Readonly<Counts>[]): Counts {
  const total = noCounts();
  for (const part of parts) {
    for (const name of Object.keys(total) as CountName[]) total[name] += part[name];
  }
  return total;
}
