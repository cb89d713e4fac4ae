/** The package's exits: heads and certificates, found by the model's hash. */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Certificate, checkCertificate, type Model } from "early-exits";
import { isExactFill } from "early-exits/exits";
import type { StoredAs } from "early-exits/model";
import { fileExists, readJson } from "early-exits/node";
import { shippedFolder } from "./shipped-models.js";

export interface ShippedExits {
  readonly name: string;
  readonly heads: string;
  /** Usual dtype first; of a dtype the strictest first, of a level exact fills first. */
  readonly certificates: readonly Certificate[];
}

/** Certificates for this storage, otherwise those for the usual dtype. */
export function certificatesFor({ certificates }: ShippedExits, storedAs: StoredAs): readonly Certificate[] {
  const [usual] = certificates;
  const of = (dtype: StoredAs | undefined): readonly Certificate[] =>
    certificates.filter(({ policy }) => policy.certified?.dtype === dtype);
  const own = of(storedAs);
  return own.length > 0 ? own : of(usual?.policy.certified?.dtype);
}

/**
 * Exits for a model, in a folder of folders by model; undefined if there are none. `certificates` are for the model's
 * usual dtype; other dtypes may have folders of their own.
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
