/** Milliseconds of a token, part by part: savings and costs of exits. */
import type { UnitTimes } from "early-exits";
import type { Comparison } from "early-exits/evaluate";
import { predictParts, type TimeParts } from "../../src/exits/cost/unit-times.js";
import { prose } from "../report/prose.js";
import type { Table } from "../report/report.js";

/** Means over all tokens of each way, by its counts at the unit times of `unitsOf(way)`. */
export function debtsTable(
  { results, summaries }: Pick<Comparison, "results" | "summaries">,
  unitsOf: (way: number) => UnitTimes,
): Table {
  return {
    title: "Where the time goes",
    note: prose`Milliseconds a token, by the ledger's counts at unit times. Blocks: one row in every pass. Later: the
      rows of blocks that earlier tokens skipped and that run along, or of drafts that are verified together. Heads: of
      all exits, with the preview in place of the unembedding. Keys and values: those that the fill project makes.
      Unembedding: for the tokens that no head chose.`,
    columns: ["", "blocks", "later", "heads", "keys and values", "unembedding", "sum"],
    rows: results.map(({ name }, way) => {
      const parts = summaries[way]!.map(({ ledger }) => predictParts(ledger, unitsOf(way)));
      const tokens = summaries[way]!.reduce((sum, { ids }) => sum + ids.length, 0);
      const mean = (read: (part: TimeParts) => number): number =>
        parts.reduce((sum, part) => sum + read(part), 0) / tokens;
      const columns = [
        mean(({ blocks }) => blocks),
        mean(({ furtherRows }) => furtherRows),
        mean(({ heads }) => heads),
        mean(({ fills }) => fills),
        mean(({ finalHead }) => finalHead),
      ];
      return [name, ...[...columns, columns.reduce((a, b) => a + b, 0)].map((time) => time.toFixed(2))];
    }),
  };
}
