/** The certificates of a folder, the strictest first. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Certificate } from "early-exits";
import { isExactFill } from "early-exits/exits";
import { readJson } from "early-exits/node";

/** Every level once, with an exact fill. */
export async function exactCertificates(folder: string): Promise<Certificate[]> {
  return (await readCertificates(folder)).filter(({ policy }) => isExactFill(policy.fill));
}

/** All of them: a level may have one for each of several fills. */
export async function readCertificates(folder: string): Promise<Certificate[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  const read = await Promise.all(files.map(async (name) => (await readJson(join(folder, name))) as Certificate));
  return read.toSorted((a, b) => b.agreement - a.agreement);
}
