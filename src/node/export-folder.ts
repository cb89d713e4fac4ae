/** An export in a folder: graphs, weights, manifest and drivers. */
import { createWriteStream } from "node:fs";
import { copyFile, link, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type OnnxExport, tritonRepository } from "../export/index.js";
import { writeFileAtomic } from "./files.js";
import { writeFolder } from "./folder-transaction.js";

/** Files of the package that decode with an export. */
const DRIVERS = [
  "exit-loop.mjs",
  "onnxruntime-node.mjs",
  "onnxruntime-web.mjs",
  "exit_loop.py",
  "onnxruntime_driver.py",
] as const;

const driverFile = (name: string): URL => new URL(`../../drivers/${name}`, import.meta.url);

/**
 * Writes an export: the weights first, then graphs, exits.json and the drivers together. A folder without exits.json
 * holds no complete export. Weights are written as they are read from the device, so they may exceed the memory.
 */
export async function writeExport(folder: string, exported: OnnxExport): Promise<void> {
  const { manifest, graphs, certificate } = exported;
  await mkdir(folder, { recursive: true });
  await rm(join(folder, "exits.json"), { force: true });
  await writeWeights(join(folder, manifest.weights.file), exported);
  const drivers = await Promise.all(
    DRIVERS.map(async (name) => [name, await readFile(driverFile(name), "utf8")] as const),
  );
  await writeFolder(folder, {
    ...Object.fromEntries(graphs.map(({ name, bytes }) => [name, bytes])),
    ...Object.fromEntries(drivers),
    ...(certificate && { [manifest.certificate!.file]: `${JSON.stringify(certificate)}\n` }),
    "exits.json": `${JSON.stringify(manifest, undefined, 2)}\n`,
  });
}

/**
 * Writes a model repository for Triton from an export that `writeExport` has written to `exportFolder`. The weights
 * are hard links to its file where the file system has them, and copies otherwise.
 */
export async function writeTritonRepository(folder: string, exportFolder: string, exported: OnnxExport): Promise<void> {
  const text = (name: string): Promise<string> => readFile(driverFile(name), "utf8");
  const { files, weightFolders } = tritonRepository(exported, {
    "model.py": await text("triton_model.py"),
    "exit_loop.py": await text("exit_loop.py"),
  });
  for (const [path, data] of Object.entries(files)) await writeFileAtomic(join(folder, path), data);
  const { file } = exported.manifest.weights;
  for (const part of weightFolders) {
    const target = join(folder, part, file);
    await rm(target, { force: true });
    await link(join(exportFolder, file), target).catch(() => copyFile(join(exportFolder, file), target));
  }
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
