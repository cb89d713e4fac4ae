/**
 * The promise of examples/micro-exits.ts on 20 seeds, each with a third of its steps, since all of them would take an
 * hour, and its report, bench/reports/laws-micro.md; part of `npm run laws`. At δ = .05, more than 4 seeds miss their
 * level by chance once in 400 runs of this.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { machine } from "../report/machine.js";
import { writeReport } from "../report/report.js";
import { root } from "./run-law.js";

const where = machine();
const rows: string[][] = [];
let missed = 0;
for (let seed = 1; seed <= 20; seed++) {
  const args = ["tsx", "examples/micro-exits.ts", "250", String(seed)];
  const out = execFileSync("npx", args, { cwd: root, encoding: "utf8" });
  const [line, ...found] = /^agreement (\S+ %) .*\((.*)\), mean depth (\S+) .*, (\S+) times fewer multiply-adds$/m.exec(
    out,
  )!;
  const level = /\d+/.exec(found[1]!)?.[0]; // none, if nothing was certified: then nothing leaves
  const misses = level !== undefined && parseFloat(found[0]!) < Number(level);
  if (misses) missed++;
  rows.push([String(seed), ...found, misses ? "NO" : "yes"]);
  console.log(`seed ${seed}: ${line}`);
}
console.log(`${missed} of 20 seeds miss their promise; at most 4 may`);
await writeReport(join(root, "bench", "reports"), {
  name: "laws-micro",
  title: `The promise of micro-exits: ${missed} of 20 seeds miss it, at most 4 may`,
  machine: where,
  data: rows,
  tables: [
    {
      title: "By seed",
      note: "250 steps of training each; agreement, depth and multiply-adds on 100 passages of other speeches; δ .05.",
      columns: ["seed", "agreement", "promise", "mean depth of 6", "times fewer multiply-adds", "kept"],
      rows,
    },
  ],
});
process.exitCode = missed > 4 ? 1 : 0;
