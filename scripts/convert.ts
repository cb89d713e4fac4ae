/**
 * Brings files of older formats up to date, in place:
 *   npx tsx scripts/convert.ts FILE|FOLDER...
 * Folders are searched with all that they hold; files of today's formats stay as they are. Each converter checks that
 * what it writes says the same as what it read (convert/). Heads come first, because certificates name their hash: give
 * both in one call.
 */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readJson, writeFileAtomic } from "early-exits/node";
import { convertCertificate, isOldCertificate } from "./convert/certificate.js";
import { countsCopies, nameCounted } from "./convert/copies.js";
import { convertHeads, isOldHeads, renameHeads } from "./convert/heads.js";

const paths = process.argv.slice(2);
if (paths.length === 0) throw new Error("convert: give at least one FILE or FOLDER");
const files = (await Promise.all(paths.map(filesIn))).flat().filter((file) => file.endsWith(".json"));

/** Hashes of converted heads, by those before. */
const hashes = new Map<string, string>();
for (const file of files) {
  const json = await readJson(file);
  if (!isOldHeads(json)) continue;
  const { before, after } = await convertHeads(dirname(file), json);
  hashes.set(before, after);
  console.log(`${file}: heads ${before.slice(0, 12)}… are now ${after.slice(0, 12)}…`);
}

for (const file of files) {
  const json = await readJson(file);
  if (isOldCertificate(json)) {
    const { certificate, facts } = await convertCertificate(json);
    await writeFileAtomic(file, `${JSON.stringify(certificate)}\n`);
    console.log(`${file}: ${facts}`);
  }
  const counted = await readJson(file);
  if (countsCopies(counted)) {
    await writeFileAtomic(file, `${JSON.stringify(await nameCounted(counted))}\n`);
    console.log(`${file}: names the documents that were counted, without the numbers of their copies`);
  }
  const renamed = await renameHeads(await readJson(file), hashes);
  if (renamed === undefined) continue;
  await writeFileAtomic(file, `${JSON.stringify(renamed)}\n`);
  console.log(`${file}: names the heads by their new hash`);
}

/** The file itself, or all files in a folder and below. */
async function filesIn(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
