/**
 * Where the keys and values of each position came from, block by block. A token is chosen at the position of the token
 * before it; if it leaves early, that position lacks keys and values in the blocks above, and the fill supplies them
 * (docs/07). This replays the rules of the fills from the depths of the tokens. The ledger counts what really ran; a
 * test compares both.
 */
import type { FillName } from "early-exits/exits";
import type { Mode } from "./protocol.js";

/** Origin of the keys and values of some blocks. */
export type KeyValueSource =
  /** The blocks ran when the token was chosen. */
  | "run"
  /** They ran at once, after the token had been chosen, up to the block that the blocks above share. */
  | "runForFill"
  /** They ran later, in one batch with the token `token`. */
  | "runLater"
  /** The full model verified the draft, and ran them in one batch with the round. */
  | "verified"
  /** The block's own weights made them from the state at the exit; exact, as a full pass makes them. */
  | "made"
  /** One learned product made them from the state at the exit. */
  | "projected"
  /** The blocks attend to those of the last block that makes its own. */
  | "shared"
  /** No later token went that deep. */
  | "missing";

/** Blocks `first` to `last`, counted from 1, both included. */
export interface KeyValueSpan {
  readonly first: number;
  readonly last: number;
  readonly source: KeyValueSource;
  /** With "runLater": the index of the token that needed them. */
  readonly token?: number;
}

/** Properties on which the keys and values of a text depend. */
interface KeyValueTerms {
  readonly mode: Mode;
  readonly fill: FillName;
  readonly numLayers: number;
  /** Number of blocks, from the first, that make keys and values of their own. */
  readonly keyValueLayers: number;
}

/** For each token, given its depth: the spans of the position that it was chosen at, from the first block up. */
export function keyValuesOf(tokens: readonly { readonly depth: number }[], terms: KeyValueTerms): KeyValueSpan[][] {
  const depths = tokens.map(({ depth }) => depth);
  return depths.map((depth, index) => {
    const above = aboveExit(depths, index, terms);
    const { numLayers, keyValueLayers } = terms;
    const spans: KeyValueSpan[] = [{ first: 1, last: Math.min(depth, keyValueLayers), source: "run" }, ...above];
    if (depth === 0) spans.shift(); // a repetition was drafted
    if (keyValueLayers < numLayers) spans.push({ first: keyValueLayers + 1, last: numLayers, source: "shared" });
    return spans;
  });
}

/** The spans of the blocks that make keys and values of their own and had not run when the token was chosen. */
function aboveExit(depths: readonly number[], index: number, terms: KeyValueTerms): KeyValueSpan[] {
  const { mode, fill, keyValueLayers } = terms;
  const first = depths[index]! + 1;
  const last = keyValueLayers;
  if (first > last) return [];
  if (mode === "lossless") return [{ first, last, source: "verified" }];
  switch (fill) {
    case "lazy":
      return runLater(depths, index, keyValueLayers);
    case "project":
      return [{ first, last, source: "projected" }];
    case "shared":
      return [
        ...(first < last ? [{ first, last: last - 1, source: "runForFill" } as const] : []),
        { first: last, last, source: "made" },
      ];
  }
}

/** A block runs with the first later token that goes so deep; blocks that run with the same token are one span. */
function runLater(depths: readonly number[], index: number, keyValueLayers: number): KeyValueSpan[] {
  const spans: KeyValueSpan[] = [];
  let done = depths[index]!;
  for (let token = index + 1; token < depths.length && done < keyValueLayers; token++) {
    const reached = Math.min(depths[token]!, keyValueLayers);
    if (reached <= done) continue;
    spans.push({ first: done + 1, last: reached, source: "runLater", token });
    done = reached;
  }
  if (done < keyValueLayers) spans.push({ first: done + 1, last: keyValueLayers, source: "missing" });
  return spans;
}
