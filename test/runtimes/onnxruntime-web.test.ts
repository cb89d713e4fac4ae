/** The driver for onnxruntime-web, in Node: it fetches an export from a server and writes the library's text. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { attachHeads } from "early-exits";
import { exportOnnx, writeExport } from "early-exits/export";
import { expect, it } from "vitest";
import { compareExport, type ExportDecoder } from "../../lab/exported/compare.js";
import { middlingPolicy } from "../../lab/exported/middling-policy.js";
import { devicesHere } from "../support/devices.js";
import { giveProjections, randomIds, smallConfigs, smallModel } from "../support/models.js";
import { scratch } from "../support/scratch.js";
import { served } from "../support/static-server.js";

interface Web {
  readonly env: { readonly wasm: { numThreads: number } };
}
interface Driver {
  readonly openExport: (ort: Web, address: string) => Promise<ExportDecoder>;
}

const ort = createRequire(import.meta.url)("onnxruntime-web") as Web;
ort.env.wasm.numThreads = 1;

const work = scratch(join(import.meta.dirname, "work-"));
const { wasm: device } = await devicesHere();
// Opening a graph keeps the process busy for seconds, and a connection that is kept open would end meanwhile.
const server = await served(work.path(), { headers: { Connection: "close" } });

it.each(["lazy", "project"] as const)("writes the library's text, fill %s", async (fill) => {
  const model = await smallModel({ config: smallConfigs["llama, llama3 rope"]!, device, gain: 4 });
  const heads = attachHeads(model, { exits: [1, 3], kind: "linear" });
  await giveProjections(heads);
  const policy = await middlingPolicy(heads, randomIds(40, 61, 3), { fill });
  await writeExport(work.path(fill), await exportOnnx(heads, { policy }));
  const { openExport } = (await import(pathToFileURL(work.path(fill, "onnxruntime-web.mjs")).href)) as Driver;
  const decoder = await openExport(ort, `${server}${fill}/`);
  const found = await compareExport(heads, decoder, [randomIds(5, 61, 1), randomIds(9, 61, 2)], { policy });
  await decoder.close();
  expect(found.differences).toEqual([]);
  expect(found.left).toBeGreaterThan(0);
  expect(found.logitsError).toBeLessThan(1e-4);
  heads.dispose();
  model.dispose();
});

it("says which file the server lacks", async () => {
  const { openExport } = (await import(pathToFileURL(work.path("lazy", "onnxruntime-web.mjs")).href)) as Driver;
  await expect(openExport(ort, `${server}nowhere/`)).rejects.toThrow("exits.json: the server answered 404");
});
