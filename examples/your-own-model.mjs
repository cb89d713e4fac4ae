/**
 * Exit heads for any model (a Hugging Face folder or a GGUF file), stored in a folder of their own.
 *   node examples/your-own-model.mjs path/to/hf-folder corpus.txt heads-folder [training steps]
 * Then generate with them:
 *   npx early-exits generate path/to/hf-folder \
 *     --heads heads-folder --policy heads-folder/policy.json --prompt "..."
 */
import { attachHeads, calibrate, splitDocuments, trainHeads } from "early-exits";
import { createDevice, readHeads, readModel, readText, writeFileAtomic, writeHeads } from "early-exits/node";

const [folder, corpus, out, steps = "500"] = process.argv.slice(2);
if (out === undefined) throw new Error("usage: your-own-model.mjs MODEL_FOLDER CORPUS OUT_FOLDER [STEPS]");

const device = await createDevice("auto");
const model = await readModel(folder, { device, dtype: "float32" }); // "bfloat16" and "int8" read fewer bytes per token
const { train, held } = splitDocuments(await readText(corpus), { train: 0.8, seed: 1 });

const heads = attachHeads(model);
console.log(`heads after blocks ${heads.depths.join(", ")} of ${model.config.numLayers}`);
await trainHeads(heads, train, { steps: Number(steps), seed: 1 });
const { policy, certificate } = await calibrate(heads, held, { agreement: 0.9 });

await writeHeads(out, heads);
await writeFileAtomic(`${out}/policy.json`, `${JSON.stringify(certificate, undefined, 2)}\n`);
const stored = await readHeads(out, model); // refuses heads of another model, by its hash
console.log(
  `${out}: ${stored.depths.length} heads, score ${policy.score}, ` +
    `thresholds ${policy.exits.map(({ threshold }) => threshold).join(", ")}`,
);
await device.dispose();
