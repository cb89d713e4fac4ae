/** An export in a folder: graphs, weights, manifest and drivers. */
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { OnnxExport } from "../export/index.js";
import { writeFolder } from "./folder-transaction.js";

const DRIVERS = [
  "exit-loop.mjs",
  "onnxruntime-node.mjs",
  "onnxruntime-web.mjs",
  "exit_loop.py",
  "onnxruntime_driver.py",
] as const;

/**
 * Writes the weights first, then graphs, exits.json and drivers together: a folder without exits.json holds no complete
 * export. Weights are written as they are read from the device, so they may exceed the memory.
 */
export async function writeExport(folder: string, exported: OnnxExport): Promise<void> {
  const { manifest, graphs, certificate } = exported;
  await mkdir(folder, { recursive: true });
  await rm(join(folder, "exits.json"), { force: true });
  await writeWeights(join(folder, manifest.weights.file), exported);
  const drivers = await Promise.all(
    DRIVERS.map(async (name) => {
      const path = new URL(`../../drivers/${name}`, import.meta.url);
      return [name, await readFile(path, "utf8")] as const;
    }),
  );
  await writeFolder(folder, {
    ...Object.fromEntries(graphs.map(({ name, bytes }) => [name, bytes])),
    ...Object.fromEntries(drivers),
    ...(certificate && { [manifest.certificate!.file]: `${JSON.stringify(certificate)}\n` }),
    "exits.json": `${JSON.stringify(manifest, undefined, 2)}\n`,
  });
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
