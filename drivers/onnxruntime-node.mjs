/**
 * Opens an export with onnxruntime-node and decodes with it. It needs exit-loop.mjs beside it.
 *     npm install onnxruntime-node@1.30.0
 *     node onnxruntime-node.mjs FOLDER 464,2068,318 [NEW_TOKENS]        token ids, which a tokenizer makes of text
 */
import { readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import * as ort from "onnxruntime-node";
import { ExitDecoder } from "./exit-loop.mjs";

/** Opens an export's folder; `options` are those of InferenceSession. */
export async function openExport(folder, { intraOpNumThreads = 1, ...options } = {}) {
  const manifest = JSON.parse(await readFile(join(folder, "exits.json"), "utf8"));
  const { stretches } = manifest;
  const graphs = stretches.flatMap(({ graph, exit }) => [graph, ...(exit?.fill ? [exit.fill.graph] : [])]);
  const sessions = {};
  for (const graph of graphs) {
    sessions[graph] = await ort.InferenceSession.create(join(folder, graph), { intraOpNumThreads, ...options });
  }
  return new ExitDecoder(ort, manifest, sessions);
}

const [script, folder = dirname(script ?? "."), ids = "0", newTokens = "16"] = process.argv.slice(1);
if (script !== undefined && import.meta.url === pathToFileURL(await realpath(script)).href) {
  const decoder = await openExport(folder);
  for await (const { id, depth } of decoder.generate(ids.split(",").map(Number), { maxNewTokens: Number(newTokens) })) {
    console.log(`${id}\tdepth ${depth}`);
  }
  await decoder.close();
}
