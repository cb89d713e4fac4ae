/** Records as the procedures take them: columns of one oriented score, and joined tallies. */
import { orientScore, scoreAt, type ScoreName } from "../../exits/heads/score.js";
import { lossesIn, type TokenLosses, type TokenTable } from "../procedures/token-table.js";
import type { Tally } from "../procedures/tally.js";
import type { DocumentRecord } from "./document-record.js";

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

/** undefined if they are all 1 - agrees. */
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

export function joinTallies(parts: readonly Tally[]): Tally {
  const join = <To extends Int32Array | Float64Array>(
    columnOf: (part: Tally) => To,
    make: (length: number) => To,
  ): To => {
    const joined = make(parts.reduce((sum, part) => sum + columnOf(part).length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(columnOf(part), at);
      at += columnOf(part).length;
    }
    return joined;
  };
  const integers = (length: number): Int32Array => new Int32Array(length);
  const floats = (length: number): Float64Array => new Float64Array(length);
  return {
    ...parts[0]!,
    documents: parts.reduce((sum, { documents }) => sum + documents, 0),
    tokens: join(({ tokens }) => tokens, integers),
    left: join(({ left }) => left, integers),
    wrong: join(({ wrong }) => wrong, floats),
    deep: join(({ deep }) => deep, floats),
  };
}
