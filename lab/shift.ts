/**
 * Policies certified on one kind of text and used on others: what they keep, and after how many documents an audit
 * rings. The embedded model on speeches, encyclopedia, stories, code and chat; the texts that are not part of the
 * project are read from ../shared/fixtures.
 *   tsx lab/shift.ts [--documents 800] [--tokens 128] [--orders 100] [--out DIR]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  calibrateRecords,
  type CalibrationRecords,
  createAlarm,
  playPolicy,
  recordDocuments,
} from "early-exits/calibrate";
import { createRng } from "early-exits/tensor";
import { kindsOfText } from "./judged/kinds-of-text.js";
import { machine } from "./report/machine.js";
import { percent } from "./report/format.js";
import { prose } from "./report/prose.js";
import { reportsFolder } from "./report/script.js";
import { writeReport } from "./report/report.js";
import { openHeads } from "./ship/embedded.js";
import { medianOf, unitsUntilAlarm } from "./simulate/audits.js";

const { values } = parseArgs({
  options: {
    documents: { type: "string", default: "800" },
    tokens: { type: "string", default: "128" },
    orders: { type: "string", default: "100" },
    out: { type: "string", default: reportsFolder },
  },
});
const count = Number(values.documents);
const tokens = Number(values.tokens);
const orders = Number(values.orders);
const where = machine();
const heads = await openHeads();

interface Kind {
  readonly name: string;
  /** For certificates. */
  readonly calibration: CalibrationRecords;
  /** For use. */
  readonly use: CalibrationRecords;
}

const kinds: Kind[] = [];
for (const { name, documents } of await kindsOfText(heads.model.tokenizer, { count, tokens })) {
  const half = Math.floor(documents.length / 2);
  kinds.push({
    name,
    calibration: await recordDocuments(heads, documents.slice(0, half)),
    use: await recordDocuments(heads, documents.slice(half)),
  });
  console.error(`${name}: ${documents.length} documents`);
}

interface Pair {
  readonly from: string;
  readonly to: string;
  readonly level: number;
  /** Mean over documents. */
  readonly kept: number;
  /** Median number of documents until the alarm over random orders; null if it does not ring in half of them. */
  readonly rang: number | null;
  /** The loss of every document, rounded. */
  readonly losses: readonly number[];
}

const pairs: Pair[] = [];
for (const { name: from, calibration } of kinds) {
  for (const level of [0.95, 0.9, 0.8]) {
    const { policy } = await calibrateRecords(calibration, { agreement: level });
    for (const { name: to, use } of kinds) {
      const losses = use.documents.map(
        (document) => 1 - playPolicy({ ...use, documents: [document] }, policy).agreement,
      );
      const rng = createRng(1).fork(`${from} ${to} ${level}`);
      const units = Array.from({ length: orders }, () => {
        const shuffled = rng.shuffle(losses);
        let next = 0;
        return unitsUntilAlarm(createAlarm({ target: 1 - level }), () => shuffled[next++]!, losses.length);
      });
      const median = medianOf(units);
      const kept = 1 - losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      const rang = median > losses.length ? null : median;
      pairs.push({ from, to, level, kept, rang, losses: losses.map((loss) => Number(loss.toFixed(4))) });
    }
  }
}
await writeReport(values.out, {
  name: "shift",
  title: "Policies on another kind of text than they were certified on",
  machine: where,
  data: { documents: count, tokens, orders, pairs },
  tables: [0.95, 0.9, 0.8].map((level) => ({
    title: `Certified ${percent(level, 0)}`,
    note: prose`
      sotu-12 with its heads, greedy text as given, documents of ${tokens} tokens. A row names the kind that the
      policy is certified on (delta 0.05, half of its documents), a column the kind that it runs on. What it keeps, mean
      over documents; in brackets after how many audited documents the alarm (delta 0.05) rings, median over ${orders}
      random orders, or "no alarm" if it does not in half of them.`,
    columns: ["certified on", ...kinds.map(({ name }) => name)],
    rows: kinds.map(({ name: from }) => [
      from,
      ...kinds.map(({ name: to }) => {
        const { kept, rang } = pairs.find((pair) => pair.from === from && pair.to === to && pair.level === level)!;
        return `${percent(kept)} (${rang ?? "no alarm"})`;
      }),
    ]),
  })),
});
console.log(join(values.out, "shift.md"));
