/**
 * Fuzzes the safetensors reader: npm run fuzz [-- --runs 100000] [--seed 1] Every damaged file must parse to tensors
 * that tile its data, or throw a SafetensorsError; see test/support/safetensors-mutations.ts. Counts per outcome go to
 * stdout, time to stderr. On a failure the exit status is 1, and the seed and path that replay it are printed.
 */
import { parseArgs } from "node:util";
import * as fc from "fast-check";
import { parseSafetensors, SafetensorsError, safetensorsErrorCodes } from "early-exits/tensor";
import { checkMutated, mutatedFile } from "../test/support/safetensors-mutations.js";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
});
const runs = Number(values.runs);
const seed = Number(values.seed);
if (!Number.isInteger(runs) || runs < 1 || !Number.isInteger(seed)) {
  console.error(
    `fuzz-safetensors: expected --runs N (1 or more) and --seed S, integers; found ${values.runs} and ${values.seed}`,
  );
  process.exit(2);
}

const subject = { parseSafetensors, SafetensorsError, errorCodes: safetensorsErrorCodes };
const counts = new Map<string, number>();
let slowest = 0;
const started = performance.now();
const result = fc.check(
  fc.property(mutatedFile, (file) => {
    const before = performance.now();
    const outcome = checkMutated(subject, file);
    slowest = Math.max(slowest, performance.now() - before);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }),
  { numRuns: runs, seed },
);

console.log(`files ${result.numRuns}  seed ${seed}`);
for (const [outcome, count] of [...counts].sort(([, a], [, b]) => b - a)) {
  console.log(`${String(count).padStart(8)}  ${outcome}`);
}
console.error(`${((performance.now() - started) / 1000).toFixed(1)} s; slowest file ${slowest.toFixed(1)} ms`);
if (result.failed) {
  console.log(fc.defaultReportMessage(result));
  process.exitCode = 1;
}
