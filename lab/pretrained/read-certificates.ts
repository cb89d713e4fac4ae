/** The certificates of a folder, the strictest first. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Certificate } from "early-exits";
import { readJson } from "early-exits/node";

export async function readCertificates(folder: string): Promise<Certificate[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  const read = await Promise.all(files.map(async (name) => (await readJson(join(folder, name))) as Certificate));
  return read.toSorted((a, b) => b.agreement - a.agreement);
}
