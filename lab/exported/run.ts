/**
 * Exports every family and compares 10,000 tokens of each with this library: the same tokens, exits and, within 1e-4,
 * logits. The models are the checkpoints of a folder, one of the family that test/golden lacks, and fresh heads.
 *     npm ci --prefix test/runtimes
 *     npx tsx lab/exported/run.ts [--tokens 10000] [--models FOLDER] [--only NAME] [--dtype int8]      of the heads
 * Prints one line per model and score, and exits with status 1 if one differs.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { attachHeads, type Model, type ScoreName, type WeightDtype } from "../../src/index.js";
import { exportOnnx, writeExport } from "../../apps/export/index.js";
import { createDevice, readModel } from "../../src/node/index.js";
import { createRng, type Device } from "../../src/tensor/index.js";
import { smallConfigs, smallModel } from "../../test/support/models.js";
import { compareExport, openExported } from "./compare.js";
import { middlingPolicy } from "./middling-policy.js";

const { values } = parseArgs({
  options: {
    tokens: { type: "string", default: "10000" },
    models: { type: "string", default: "test/golden" },
    only: { type: "string" },
    dtype: { type: "string", default: "float32" },
  },
});
/** Of two logits. Heads with integer weights round their rows, and a value between two integers may go either way. */
const LOGITS = values.dtype === "int8" || values.dtype === "int4" ? Infinity : 1e-4;
const scores = ["entropy", "margin"] as const satisfies readonly ScoreName[];

/** Folder that finds onnxruntime-node: the driver is copied into a folder below it. */
const runtimes = join(import.meta.dirname, "../../test/runtimes");

async function compareModel(name: string, model: Model, score: ScoreName, tokens: number, folder: string) {
  const { vocabSize, maxPositionEmbeddings, numLayers } = model.config;
  const dtype = values.dtype as WeightDtype;
  const heads = attachHeads(model, {
    exits: [1, ...(numLayers > 2 ? [numLayers - 1] : [])],
    kind: "linear",
    dtype,
  });
  const rng = createRng(1).fork(`${name} ${score}`);
  const ids = (count: number): number[] => Array.from({ length: count }, () => rng.integer(vocabSize));
  const policy = await middlingPolicy(heads, ids(Math.min(200, maxPositionEmbeddings)), { score });
  await writeExport(folder, await exportOnnx(heads, { policy }));
  const decoder = await openExported(folder);
  const maxNewTokens = Math.min(64, maxPositionEmbeddings - 16);
  const prompts = Array.from({ length: Math.ceil(tokens / maxNewTokens) }, () => ids(1 + rng.integer(16)));
  const found = await compareExport(heads, decoder, prompts, { policy, maxNewTokens });
  await decoder.close();
  heads.dispose();
  return found;
}

/** The checkpoints of the folder, and a model with random weights of the family that it lacks. */
function modelsOf(device: Device): readonly (readonly [name: string, open: () => Promise<Model>])[] {
  const folders = readdirSync(values.models, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const checkpoints = folders.map(
    ({ name }) => [name, () => readModel(join(values.models, name), { device })] as const,
  );
  const config = smallConfigs["qwen2"]!;
  return [...checkpoints, ["qwen2, random", () => smallModel({ config, device, gain: 4 })]];
}

async function run(device: Device, work: string): Promise<boolean> {
  const tokens = Number(values.tokens) / scores.length;
  let same = true;
  console.log("model, score: tokens, left early, largest difference of logits (rows), differences");
  for (const [name, open] of modelsOf(device)) {
    if (values.only !== undefined && name !== values.only) continue;
    const model = await open();
    for (const score of scores) {
      const folder = join(work, name, score);
      mkdirSync(folder, { recursive: true });
      const found = await compareModel(name, model, score, tokens, folder);
      const error = found.logitsError.toExponential(1);
      console.log(
        `${name}, ${score}: ${found.tokens} tokens, ${found.left} left early, ${error} (${found.rows} rows), ` +
          `${found.differences.length} differences`,
      );
      for (const difference of found.differences) console.log(JSON.stringify(difference));
      same &&= found.differences.length === 0 && found.logitsError < LOGITS;
    }
    model.dispose();
  }
  return same;
}

const device = await createDevice("wasm");
const work = mkdtempSync(join(runtimes, "work-"));
try {
  if (!(await run(device, work))) process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true });
  await device.dispose();
}
