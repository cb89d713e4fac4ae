/**
 * `exits.json`, an export's manifest: plain JSON for drivers. The loop is in words too, so that a driver can be written
 * without reading ours.
 */
import type { Policy, Threshold } from "early-exits/exits";

/** One graph: blocks `begin` up to but not including `end` (0-based), and what follows them. */
export interface Stretch {
  readonly graph: string;
  readonly begin: number;
  readonly end: number;
  /** Blocks whose keys and values it takes (past_key_L, past_value_L) and returns (present_key_L, present_value_L). */
  readonly caches: readonly number[];
  /** Blocks of earlier graphs with keys and values that it only reads (seen_key_L, seen_value_L). */
  readonly reads: readonly number[];
  /**
   * Takes the newest row alone: neither it nor a graph after it makes keys and values, so later tokens need none of its
   * blocks for the others.
   */
  readonly newestRow: boolean;
  readonly positions: boolean;
  /** The exit at its end; absent if its end is the end of the model. */
  readonly exit?: ExportedExit;
}

export interface ExportedExit {
  /** Index in the policy. */
  readonly index: number;
  readonly depth: number;
  readonly threshold: Threshold;
  /** Graph of skipped blocks' keys and values; absent if the fill is lazy. */
  readonly fill?: { readonly graph: string; readonly caches: readonly number[]; readonly positions: boolean };
}

export interface ExportManifest {
  readonly format: "early-exits/export";
  readonly version: 1;
  readonly library: string;
  readonly model: {
    readonly modelType: string;
    /** SHA-256 of configuration and checkpoint (`Model.hash`). */
    readonly hash: string;
    readonly numLayers: number;
    readonly hiddenSize: number;
    readonly vocabSize: number;
    readonly numKvHeads: number;
    readonly headDim: number;
    readonly maxPositionEmbeddings: number;
    readonly bosTokenId: number | undefined;
    readonly eosTokenIds: readonly number[];
  };
  readonly headsHash?: string;
  /** ONNX operator set; all operators are standard. */
  readonly opset: number;
  readonly weights: { readonly file: string; readonly bytes: number };
  readonly stretches: readonly Stretch[];
  /** Scores leave if they are at most the threshold (low) or at least (high); absent if there are no exits. */
  readonly score?: { readonly name: string; readonly leaves: "low" | "high" };
  /**
   * Fill of skipped blocks: lazy (states wait, and run along when a later token goes deeper: exact), or by graphs
   * (approximate). Exact fills all become lazy, which gives their tokens.
   */
  readonly fill?: "lazy" | "project";
  readonly policy?: Policy;
  /**
   * Certificate in a file beside the manifest, by its digest. It is for this library's arithmetic: a runtime rounds
   * otherwise, so its decisions may differ where a score lies within rounding of a threshold.
   */
  readonly certificate?: { readonly file: string; readonly digest: string };
  readonly loop: readonly string[];
}

export const loop = [
  "Keep per text: the number of positions, the keys and values of every block, and per graph the rows that wait.",
  "Prompt: run all ids but the last through every graph. Exits do not count.",
  "Token: the newest id waits at the first graph. For each graph in order:",
  "  Run it on its waiting rows (ids, or states) with their positions. With newestRow, on the newest row alone.",
  "  Its present keys and values replace the past ones. Its next_state rows wait at the next graph.",
  "  At an exit, the token leaves if its score passes the threshold.",
  "  If it leaves: run the exit's fill graph, if it has one, on the newest row; no row waits any more. The head's " +
    "token is the next id.",
  "  At the last graph: its token is the next id.",
  "End: after an id of eosTokenIds, or when maxPositionEmbeddings is reached.",
] as const;
