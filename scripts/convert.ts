/**
 * Brings files of older formats up to date, in place:
 *   npx tsx scripts/convert.ts FILE|FOLDER...
 * Folders are searched with all that they hold; files of today's formats stay as they are. Each converter checks that
 * what it writes says the same as what it read (convert/).
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { readJson, writeFileAtomic } from "early-exits/node";
import { convertCertificate, isOldCertificate } from "./convert/certificate.js";

const paths = process.argv.slice(2);
if (paths.length === 0) throw new Error("convert: give at least one FILE or FOLDER");

for (const file of (await Promise.all(paths.map(filesIn))).flat()) {
  if (!file.endsWith(".json")) continue;
  const json = await readJson(file);
  if (!isOldCertificate(json)) continue;
  const { certificate, facts } = await convertCertificate(json);
  await writeFileAtomic(file, `${JSON.stringify(certificate)}\n`);
  console.log(`${file}: ${facts}`);
}

/** The file itself, or all files in a folder and below. */
async function filesIn(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
