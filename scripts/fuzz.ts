/**
 * Fuzzes the readers of model files: npm run fuzz [-- --format gguf] [--runs 20000] [--seed 1]. Every damaged
 * safetensors file must parse to tensors that tile its data, or throw a SafetensorsError; every damaged GGUF file must
 * load, or throw an error of this library, in under half a second (see test/support/safetensors-mutations.ts and
 * test/support/gguf/mutations.ts). Counts per outcome go to stdout, time to stderr. On a failure the exit status is 1,
 * and the seed and path that replay it are printed.
 */
import { parseArgs } from "node:util";
import * as fc from "fast-check";
import { createReferenceDevice } from "early-exits/tensor";
import { checkMutatedGguf, mutatedGguf } from "../test/support/gguf/mutations.js";
import { checkMutated, mutatedFile } from "../test/support/safetensors-mutations.js";

const { values } = parseArgs({
  options: {
    format: { type: "string" },
    runs: { type: "string" },
    seed: { type: "string", default: "1" },
  },
});
const seed = Number(values.seed);
const device = createReferenceDevice();
const formats: Readonly<Record<string, () => Promise<void>>> = {
  safetensors: () => fuzz("safetensors", mutatedFile, checkMutated, 100_000),
  gguf: () => fuzz("gguf", mutatedGguf, (file) => checkMutatedGguf(file, device), 20_000),
};

const names = values.format === undefined ? Object.keys(formats) : [values.format];
const wrongRuns = values.runs !== undefined && !(Number.isInteger(Number(values.runs)) && Number(values.runs) >= 1);
if (wrongRuns || !Number.isInteger(seed) || !names.every((name) => Object.hasOwn(formats, name))) {
  console.error(
    `fuzz: expected --runs N (1 or more), --seed S, integers, and --format ${Object.keys(formats).join(" or ")}; ` +
      `found ${JSON.stringify(values)}`,
  );
  process.exit(2);
}
for (const name of names) await formats[name]!();

/** Checks `defaultRuns` files, or as many as the command line says, and prints the outcomes. */
async function fuzz<File>(
  name: string,
  files: fc.Arbitrary<File>,
  check: (file: File) => string | Promise<string>,
  defaultRuns: number,
): Promise<void> {
  const counts = new Map<string, number>();
  let slowest = 0;
  const started = performance.now();
  const property = fc.asyncProperty(files, async (file) => {
    const before = performance.now();
    const outcome = await check(file);
    slowest = Math.max(slowest, performance.now() - before);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  });
  const result = await fc.check(property, { numRuns: Number(values.runs ?? defaultRuns), seed });

  console.log(`${name}: files ${result.numRuns}  seed ${seed}`);
  for (const [outcome, count] of [...counts].sort(([, a], [, b]) => b - a)) {
    console.log(`${String(count).padStart(8)}  ${outcome}`);
  }
  const seconds = (performance.now() - started) / 1000;
  console.error(`${name}: ${seconds.toFixed(1)} s; slowest file ${slowest.toFixed(1)} ms`);
  if (result.failed) {
    console.log(fc.defaultReportMessage(result));
    process.exitCode = 1;
  }
}
