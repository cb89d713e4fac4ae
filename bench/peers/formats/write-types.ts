/** A GGUF file in other types, each written once. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { writeFileAtomic } from "early-exits/node";
import type { GgufType } from "./gguf.js";
import { requantizeGguf } from "./requantize.js";

/** Writes the model at `path` in every type to a folder, unless it is there already. Returns the files by type. */
export async function writeTypes(
  path: string,
  types: readonly GgufType[],
  folder: string,
): Promise<ReadonlyMap<GgufType, string>> {
  await mkdir(folder, { recursive: true });
  const file = await readFile(path);
  const written = new Map<GgufType, string>();
  for (const type of types) {
    const to = join(resolve(folder), `${basename(path, ".gguf")}.as-${type}.gguf`);
    if (!existsSync(to)) {
      console.error(`writing ${to}`);
      await writeFileAtomic(to, requantizeGguf(file, type));
    }
    written.set(type, to);
  }
  return written;
}
