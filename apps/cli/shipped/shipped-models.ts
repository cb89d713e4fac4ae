/** Models in the package, by name. */
import { readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileExists } from "early-exits/node";

export const shippedFolder = join(createRequire(import.meta.url).resolve("early-exits/package.json"), "../models");

/** undefined if no shipped model has that name. */
export async function shippedModel(name: string): Promise<string | undefined> {
  return (await shippedModels()).includes(name) ? join(shippedFolder, name) : undefined;
}

export async function shippedModels(): Promise<string[]> {
  const names = (await readdir(shippedFolder)).toSorted();
  const there = await Promise.all(names.map((name) => fileExists(join(shippedFolder, name, "config.json"))));
  return names.filter((_, i) => there[i]);
}
