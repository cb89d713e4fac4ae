/** Exits that come with the package: heads and certificates, found by the model's hash. */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { isExactFill } from "../../exits/index.js";
import { type Certificate, checkCertificate, type Model } from "../../index.js";
import type { StoredAs } from "../../model/index.js";
import { fileExists, readJson } from "../../node/index.js";
import { shippedFolder } from "./shipped-models.js";

export interface ShippedExits {
  /** The name of the model that they are for. */
  readonly name: string;
  /** The folder of the heads. */
  readonly heads: string;
  /** Those for the usual dtype first; of a dtype the strictest first, and of a level those with an exact fill. */
  readonly certificates: readonly Certificate[];
}

/** The certificates for a model that is stored so; if there are none, those for the usual dtype. */
export function certificatesFor({ certificates }: ShippedExits, storedAs: StoredAs): readonly Certificate[] {
  const [usual] = certificates;
  const of = (dtype: StoredAs | undefined): readonly Certificate[] =>
    certificates.filter(({ policy }) => policy.certified?.dtype === dtype);
  const own = of(storedAs);
  return own.length > 0 ? own : of(usual?.policy.certified?.dtype);
}

/**
 * The exits for a model, in a folder with a folder for each model; undefined if none are for it. Its `certificates` are
 * for the dtype that is usual for this model, and may have a folder for each other one.
 */
export async function findShippedExits(model: Model, folder = shippedFolder): Promise<ShippedExits | undefined> {
  const hash = await model.hash();
  for (const name of (await readdir(folder)).toSorted()) {
    const heads = join(folder, name, "heads");
    if (!(await fileExists(join(heads, "heads.json")))) continue;
    const { modelHash } = (await readJson(join(heads, "heads.json"))) as { readonly modelHash?: unknown };
    if (modelHash !== hash) continue;
    const certificates = join(folder, name, "certificates");
    const files = (await readdir(certificates, { recursive: true })).filter((file) => file.endsWith(".json"));
    const read = await Promise.all(
      files.map(async (file) => ({
        certificate: checkCertificate(await readJson(join(certificates, file))),
        isDeeper: file !== basename(file),
      })),
    );
    const sorted = read.toSorted(
      (a, b) => Number(a.isDeeper) - Number(b.isDeeper) || strictestFirst(a.certificate, b.certificate),
    );
    return { name, heads, certificates: sorted.map(({ certificate }) => certificate) };
  }
  return undefined;
}

function strictestFirst(one: Certificate, other: Certificate): number {
  const exact = ({ policy }: Certificate): number => Number(isExactFill(policy.fill));
  return other.agreement - one.agreement || exact(other) - exact(one);
}
