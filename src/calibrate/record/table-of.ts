/** Records as the procedures take them: columns of one oriented score, and tallies of several document sets joined. */
import { orientScore, scoreAt, type ScoreName } from "../../exits/heads/index.js";
import type { Tally, TokenTable } from "../procedures/index.js";
import type { DocumentRecord } from "./document-record.js";

/** Records as columns of one oriented score (larger is more confident). */
export function tableOf(documents: readonly DocumentRecord[], score: ScoreName): TokenTable {
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
  return { documents: documents.length, exits, starts, oriented, agrees };
}

/** Tallies of the same vectors on one set of documents after another. */
export function joinTallies(parts: readonly Tally[]): Tally {
  const join = (column: "tokens" | "left" | "wrong" | "deep"): Int32Array => {
    const joined = new Int32Array(parts.reduce((sum, part) => sum + part[column].length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part[column], at);
      at += part[column].length;
    }
    return joined;
  };
  return {
    ...parts[0]!,
    documents: parts.reduce((sum, { documents }) => sum + documents, 0),
    tokens: join("tokens"),
    left: join("left"),
    wrong: join("wrong"),
    deep: join("deep"),
  };
}
