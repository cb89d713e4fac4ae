/**
 * What calibration is about: which model and heads, stored and run how, and what a token costs that leaves at each exit. Recorded once,
 * bound into policies and certificates.
 */

import { fillCost, type FillName, fillNames } from "../exits/fill.js";
import type { ExitHeads } from "../exits/heads.js";
import { blockCost, headCost, QUOTED_CONTEXT } from "../exits/ledger.js";
import type { WeightDtype } from "../tensor/device.js";
import type { ExitCosts } from "./candidates.js";

export interface Subject {
  readonly modelHash: string;
  readonly headsHash: string;
  /** How weight matrices are stored. */
  readonly dtype: WeightDtype;
  /** What computed: scores may differ in their last bits elsewhere. */
  readonly backend: string;
  readonly depths: readonly number[];
  readonly numLayers: number;
  /** Multiply-adds per token: a block, each head, the model's own unembedding, and, by fill and exit, the keys and values made at once for a token that leaves. */
  readonly ledger: { readonly block: number; readonly heads: readonly number[]; readonly unembedding: number; readonly fills: Readonly<Partial<Record<FillName, readonly number[]>>> };
}

/** The subject of a calibration of these heads, as they are now. */
export async function describeSubject(heads: ExitHeads): Promise<Subject> {
  const { config, dtype, device } = heads.model;
  const block = blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings));
  return {
    modelHash: await heads.model.hash(), headsHash: await heads.hash(), dtype, backend: device.backend, depths: heads.depths, numLayers: config.numLayers,
    ledger: {
      block,
      heads: heads.heads.map(({ shape: { kind, inner } }) => headCost(config, kind, inner)),
      unembedding: config.hiddenSize * config.vocabSize,
      fills: Object.fromEntries(fillNames.map((fill) => [fill, heads.depths.map((depth) => fillCost(fill, config, depth))])),
    },
  };
}

/** What a token costs by the exit where it leaves. Blocks that run later (lazy) are charged to nobody: right for weights read, too kind for multiply-adds. */
export function exitCosts({ depths, numLayers, ledger }: Pick<Subject, "depths" | "numLayers" | "ledger">, fill: FillName): ExitCosts {
  const filled = ledger.fills[fill];
  return {
    reach: depths.map((depth, exit) => depth * ledger.block + (filled?.[exit] ?? 0)),
    head: [...ledger.heads],
    full: numLayers * ledger.block + ledger.unembedding,
  };
}
