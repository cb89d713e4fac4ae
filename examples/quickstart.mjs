/**
 * The embedded model, from start to end in half a minute: train exit heads, choose thresholds, generate with and
 * without exits.
 *   node examples/quickstart.mjs [training steps]
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { attachHeads, calibrate, generate, trainHeads } from "early-exits";
import { createDevice, readModel } from "early-exits/node";

const steps = Number(process.argv[2] ?? 200);
const folder = fileURLToPath(new URL("models/sotu-12", import.meta.resolve("early-exits/package.json")));
const texts = JSON.parse(await readFile(`${folder}/documents.json`, "utf8"));
const documents = (part) => texts[part].map(({ text }) => text);

const device = await createDevice("auto");
console.log(device.info.description);
const model = await readModel(folder, { device });

const heads = attachHeads(model, { exits: [3, 6] });
await trainHeads(heads, documents("train"), {
  steps,
  learningRate: 2e-3,
  seed: 1,
  onStep: ({ step, loss, agreement }) => {
    if (step % 50 !== 0) return;
    const shares = agreement.map((share) => share.toFixed(2)).join(" ");
    console.log(`step ${step}, loss ${loss.toFixed(3)}, agreement ${shares}`);
  },
});
// This model's upper blocks share keys and values: fill "shared". Ordinary models use "lazy" (exact) or "project".
const held = documents("calibration").slice(0, 150);
const { policy, certificate } = await calibrate(heads, held, {
  agreement: 0.9,
  delta: 0.05,
  fill: "shared",
});
console.log(
  `certified with probability ${1 - certificate.delta}: agreement ${certificate.agreement}; ` +
    `thresholds ${policy.exits.map(({ threshold }) => threshold).join(", ")} on ${policy.score}`,
);

const prompt = "The people of the United States";
for (const [name, options] of [
  ["without exits", {}],
  ["with exits", { policy }],
]) {
  const run = generate(heads, prompt, { ...options, maxNewTokens: 40 });
  const text = await run.text();
  const { meanDepth } = run.summary;
  console.log(`\n${name}, ${meanDepth.toFixed(2)} of ${model.config.numLayers} blocks:\n${prompt}${text}`);
}
await device.dispose();
