/**
 * The shared fixtures, in ../shared beside the project. A suite that needs them must fail, never skip, if they are
 * absent, so asking for a path that does not exist throws.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { splitDocuments } from "early-exits";
import { readText } from "early-exits/node";

const shared = fileURLToPath(new URL("../../../shared", import.meta.url));

/** A path inside ../shared, for example sharedPath("fixtures", "text", "wikitext2_valid.txt"). */
export function sharedPath(...parts: readonly string[]) {
  const path = join(shared, ...parts);
  if (!existsSync(path)) {
    throw new Error(
      `sharedPath: ${path} does not exist; the fixture suite needs the folder shared/ beside the project root`,
    );
  }
  return path;
}

/** The folder of the model stories260K. */
export const stories260K = () => sharedPath("fixtures", "models", "stories260K");

/** Its documents, to train on and held out. */
export async function splitStories(train = 0.9) {
  return splitDocuments(await readText(sharedPath("fixtures", "text", "tinystories_clean.jsonl")), { train, seed: 1 });
}
