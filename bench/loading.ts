/**
 * Time until a GGUF model is ready to decode, and the memory that this takes:
 *   npx tsx bench/loading.ts [--model FILE]
 * Without --model: SmolLM2-135M-Instruct in Q4_1 (../shared/fixtures). Each dtype is loaded in a process of its own,
 * three times. Time runs from readModel to the first logits of one token. Memory is the peak resident size above that
 * of the same process after it has made its device and read the tokenizer; beside it, the weights and the target of
 * 1.1 times the weights plus the largest tensor as float32. Prints a table and writes no report.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { allWeights, type ModelDtype, modelDtypes, storedBytes } from "early-exits/model";
import { createDevice, readModel, readTokenizer } from "early-exits/node";

const RUNS = 3;
const smollm = "../../shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const { values } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL(smollm, import.meta.url)) },
    /** Modules that a child process loads. */
    dtype: { type: "string" },
  },
});

/** Measurements of one process; sizes in MiB. */
interface Loading {
  readonly seconds: number;
  readonly peak: number;
  readonly weights: number;
  readonly largest: number;
}

const MEBI = 2 ** 20;
const peakSize = (): number => process.resourceUsage().maxRSS / 1024;

if (values.dtype === undefined) compare();
else console.log(JSON.stringify(await load(values.dtype as ModelDtype)));

async function load(dtype: ModelDtype): Promise<Loading> {
  const device = await createDevice("wasm");
  await readTokenizer(values.model);
  const before = peakSize();
  const started = performance.now();
  const model = await readModel(values.model, { device, dtype });
  await model.logits([0]);
  const seconds = (performance.now() - started) / 1000;
  const largest = Math.max(...allWeights(model.weights).map(({ shape }) => shape.reduce((a, b) => a * b, 4)));
  return {
    seconds,
    peak: peakSize() - before,
    weights: allWeights(model.weights).reduce((sum, weight) => sum + storedBytes(weight), 0) / MEBI,
    largest: largest / MEBI,
  };
}

function compare(): void {
  console.log("dtype      seconds (of 3 runs)   peak MiB   weights MiB   target MiB");
  for (const dtype of modelDtypes) {
    const runs = Array.from({ length: RUNS }, () => measure(dtype));
    const seconds = runs.map((run) => run.seconds.toFixed(2)).join(" ");
    const peak = Math.max(...runs.map((run) => run.peak));
    const { weights, largest } = runs[0]!;
    const columns = [peak, weights, 1.1 * weights + largest].map((size) => size.toFixed(0));
    console.log(`${dtype.padEnd(10)} ${seconds.padEnd(21)} ${columns.join("   ")}`);
  }
}

function measure(dtype: ModelDtype): Loading {
  const script = fileURLToPath(import.meta.url);
  const line = [...process.execArgv, script, "--model", values.model, "--dtype", dtype];
  const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: "utf8" });
  if (status !== 0) throw new Error(`loading as ${dtype} failed:\n${stderr}`);
  return JSON.parse(stdout) as Loading;
}
