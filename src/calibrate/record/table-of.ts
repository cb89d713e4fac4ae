/** Records as the procedures take them: columns of one oriented score, and tallies of several document sets joined. */
import { orientScore, scoreAt, type ScoreName } from "../../exits/heads/index.js";
import {
  type Counts,
  createCounts,
  lossesIn,
  type Tally,
  type TokenLosses,
  type TokenTable,
} from "../procedures/index.js";
import type { DocumentRecord } from "./document-record.js";

/** Records as columns of one oriented score (larger is more confident), with the losses that they hold. */
export function tableOf(documents: readonly DocumentRecord[], score: ScoreName, lossScale = 1): TokenTable {
  const exits = documents[0]?.exits.length ?? 0;
  const starts = new Int32Array(documents.length + 1);
  documents.forEach(({ positions }, d) => {
    starts[d + 1] = starts[d]! + positions;
  });
  const tokens = starts[documents.length]!;
  const oriented = Array.from({ length: exits }, () => new Float64Array(tokens));
  const agrees = Array.from({ length: exits }, () => new Uint8Array(tokens));
  documents.forEach((document, d) => {
    document.exits.forEach((record, exit) => {
      const column = oriented[exit]!;
      for (let t = 0; t < document.positions; t++) {
        column[starts[d]! + t] = orientScore(scoreAt(record, t, score), score);
      }
      agrees[exit]!.set(record.agrees, starts[d]);
    });
  });
  const table = { documents: documents.length, exits, starts, oriented, agrees };
  const losses = lossesOf(documents, table, lossScale);
  return losses === undefined ? table : { ...table, losses };
}

/** The losses in records; undefined if they are all 1 - agrees. */
function lossesOf(
  documents: readonly DocumentRecord[],
  { agrees, starts }: Pick<TokenTable, "agrees" | "starts">,
  lossScale: number,
): TokenLosses | undefined {
  const first = documents[0];
  const own = first?.exits[0]?.losses !== undefined;
  if (first === undefined || (!own && first.deep === undefined)) return undefined;
  const join = (of: (document: DocumentRecord) => Int32Array): Int32Array => {
    const column = new Int32Array(starts[documents.length]!);
    documents.forEach((document, d) => {
      column.set(of(document), starts[d]);
    });
    return column;
  };
  return {
    lossScale,
    exits: own ? first.exits.map((_, exit) => join(({ exits }) => exits[exit]!.losses!)) : lossesIn({ agrees }).exits,
    ...(first.deep && { deep: join(({ deep }) => deep!) }),
  };
}

/** Tallies of the same vectors on one set of documents after another. */
export function joinTallies(parts: readonly Tally[]): Tally {
  const fill = <To extends Counts>(joined: To, column: "tokens" | "left" | "wrong" | "deep"): To => {
    let at = 0;
    for (const part of parts) {
      joined.set(part[column], at);
      at += part[column].length;
    }
    return joined;
  };
  const length = (column: "tokens" | "left" | "wrong" | "deep"): number =>
    parts.reduce((sum, part) => sum + part[column].length, 0);
  const join = (column: "tokens" | "left"): Int32Array => fill(new Int32Array(length(column)), column);
  const { lossScale = 1 } = parts[0]!;
  const joinLosses = (column: "wrong" | "deep"): Counts => fill(createCounts(lossScale, length(column)), column);
  return {
    ...parts[0]!,
    documents: parts.reduce((sum, { documents }) => sum + documents, 0),
    tokens: join("tokens"),
    left: join("left"),
    wrong: joinLosses("wrong"),
    deep: joinLosses("deep"),
  };
}
