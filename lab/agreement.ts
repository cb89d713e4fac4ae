/**
 * Judges heads and scores on text that the heads have not seen: agreement at each exit of its most confident tokens,
 * how well each score ranks them, and, of a policy, what it keeps.
 *   npx tsx lab/agreement.ts MODEL --heads HEADS --text FILE [--policy FILE] [--dtype int8] [--documents 200]
 */
import { parseArgs } from "node:util";
import { playPolicy, policyFrom, recordDocuments } from "early-exits/calibrate";
import type { ModelDtype } from "early-exits/model";
import { createDevice, readDocuments, readHeads, readJson, readModel } from "early-exits/node";
import { percent } from "./report/format.js";
import { rankTokens } from "./report/agreement.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    heads: { type: "string" },
    text: { type: "string" },
    policy: { type: "string" },
    dtype: { type: "string", default: "float32" },
    documents: { type: "string", default: "200" },
  },
});
const [path] = positionals;
const { heads: folder, text, policy: file, dtype } = values;
if (path === undefined || folder === undefined || text === undefined) {
  throw new Error("give a model, --heads FOLDER and --text FILE");
}
const model = await readModel(path, { device: await createDevice("auto"), dtype: dtype as ModelDtype });
const heads = await readHeads(folder, model);
const documents = await readDocuments(text, model);
const records = await recordDocuments(heads, documents.slice(0, Number(values.documents)));

const covered = [0.2, 0.4, 0.6, 0.8, 1];
console.log(`agreement of the most confident ${covered.map((share) => percent(share)).join(", ")}; AUROC`);
for (const [exit, depth] of heads.depths.entries()) {
  for (const score of heads.scores) {
    const { curve, auroc } = rankTokens(records, exit, score);
    const kept = covered.map((share) => percent(curve[Math.max(1, Math.round(share * curve.length)) - 1]!));
    console.log(`depth ${depth}, ${score}: ${kept.join(", ")}; ${auroc?.toFixed(3) ?? "-"}`);
  }
}
if (file !== undefined) {
  const { agreement, meanDepth } = playPolicy(records, policyFrom(await readJson(file)));
  console.log(
    `policy: agreement ${percent(agreement)}, mean depth ${meanDepth.toFixed(2)} of ${model.config.numLayers}`,
  );
}
