/** An export in a folder: graphs, weights, manifest and drivers. */
import { createWriteStream } from "node:fs";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { writeFileAtomic } from "early-exits/node";
import type { OnnxExport } from "./export-onnx.js";

const DRIVERS = [
  "exit-loop.mjs",
  "onnxruntime-node.mjs",
  "onnxruntime-web.mjs",
  "exit_loop.py",
  "onnxruntime_driver.py",
] as const;
const driverFolder = join(createRequire(import.meta.url).resolve("early-exits/package.json"), "../drivers");

/**
 * Replaces an older export. Writes exits.json last: a folder without it holds no complete export. Weights are written
 * as they are read from the device, so they may exceed the memory.
 */
export async function writeExport(folder: string, exported: OnnxExport): Promise<void> {
  const { manifest, graphs, certificate } = exported;
  const place = (name: string, data: string | Uint8Array): Promise<void> => writeFileAtomic(join(folder, name), data);
  await rm(join(folder, "exits.json"), { force: true });
  for (const name of DRIVERS) await place(name, await readFile(join(driverFolder, name))); // makes the folder
  for (const name of await readdir(folder)) {
    if (/^(certificate\.json|(stretch|fill)-\d+\.onnx)$/.test(name)) await rm(join(folder, name));
  }
  await writeWeights(join(folder, manifest.weights.file), exported);
  for (const { name, bytes } of graphs) await place(name, bytes);
  if (certificate !== undefined) await place(manifest.certificate!.file, `${JSON.stringify(certificate)}\n`);
  await place("exits.json", `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function writeWeights(path: string, exported: OnnxExport): Promise<void> {
  const temporary = `${path}.${process.pid}.next`;
  try {
    await pipeline(Readable.from(exported.weights()), createWriteStream(temporary));
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
