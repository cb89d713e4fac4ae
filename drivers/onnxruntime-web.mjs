/**
 * Opens an export with onnxruntime-web, in a page or a worker, and decodes with it. It needs exit-loop.mjs beside it.
 *     const decoder = await openExport(ort, "https://host/folder/");
 *     for await (const { id, depth } of decoder.generate(ids, { maxNewTokens: 32 })) …
 * The weights are fetched once and shared by all graphs; a page can hold about 2 GiB of them.
 */
import { ExitDecoder } from "./exit-loop.mjs";

/** Opens an export by the address of its folder; `options` are those of InferenceSession, `ort` onnxruntime-web. */
export async function openExport(ort, address, options = {}) {
  const load = async (name) => {
    const response = await fetch(new URL(name, address));
    if (!response.ok) throw new Error(`${name}: the server answered ${response.status}; check the folder's address`);
    return new Uint8Array(await response.arrayBuffer());
  };
  const manifest = JSON.parse(new TextDecoder().decode(await load("exits.json")));
  const { stretches, weights } = manifest;
  const graphs = stretches.flatMap(({ graph, exit }) => [graph, ...(exit?.fill ? [exit.fill.graph] : [])]);
  const [data, ...models] = await Promise.all([weights.file, ...graphs].map(load));
  const externalData = [{ path: weights.file, data }];
  const sessions = {};
  for (const [i, graph] of graphs.entries()) {
    sessions[graph] = await ort.InferenceSession.create(models[i], { externalData, ...options });
  }
  return new ExitDecoder(ort, manifest, sessions);
}
