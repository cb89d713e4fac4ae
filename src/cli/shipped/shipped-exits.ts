/** Exits that come with the package: heads and certificates, found by the model's hash. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isExactFill } from "../../exits/index.js";
import { type Certificate, checkCertificate, type Model } from "../../index.js";
import { fileExists, readJson } from "../../node/index.js";
import { shippedFolder } from "./shipped-models.js";

export interface ShippedExits {
  /** The name of the model that they are for. */
  readonly name: string;
  /** The folder of the heads. */
  readonly heads: string;
  /** Strictest first; of a level, those with an exact fill first. */
  readonly certificates: readonly Certificate[];
}

/** The exits for a model, in a folder with a folder for each model; undefined if none are for it. */
export async function findShippedExits(model: Model, folder = shippedFolder): Promise<ShippedExits | undefined> {
  const hash = await model.hash();
  for (const name of (await readdir(folder)).toSorted()) {
    const heads = join(folder, name, "heads");
    if (!(await fileExists(join(heads, "heads.json")))) continue;
    const { modelHash } = (await readJson(join(heads, "heads.json"))) as { readonly modelHash?: unknown };
    if (modelHash !== hash) continue;
    const certificates = join(folder, name, "certificates");
    const files = (await readdir(certificates)).filter((file) => file.endsWith(".json"));
    const read = await Promise.all(
      files.map(async (file) => checkCertificate(await readJson(join(certificates, file)))),
    );
    const exact = ({ policy }: Certificate): number => Number(isExactFill(policy.fill));
    return { name, heads, certificates: read.toSorted((a, b) => b.agreement - a.agreement || exact(b) - exact(a)) };
  }
  return undefined;
}
