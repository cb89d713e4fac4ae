/**
 * Heads of versions 1 to 4 as version 5 describes them: one of three kinds, in place of a kind or of a map and a
 * vocabulary. Weights stay as they are, byte for byte. The hash of heads covers their description, so it changes;
 * certificates that name the old one are sealed again with the new one.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Certificate, verifyCertificate } from "early-exits";
import type { HeadDescription, HeadsDescription } from "../../src/exits/heads/heads-description.js";
import type { PreviewShape } from "early-exits/exits";
import { sha256 } from "../../src/model/sha256.js";
import { fileExists, readJson, writeFileAtomic } from "early-exits/node";
import { sealCertificate } from "../../src/calibrate/certificate/certificate.js";
import { headsJson } from "../../src/node/heads-folder.js";
import { omit } from "./certificate.js";

interface OldHead {
  readonly depth: number;
  readonly kind?: string;
  readonly map?: string;
  readonly vocabulary?: string;
  readonly shortlist?: readonly number[];
  readonly preview?: PreviewShape;
  readonly dtype?: HeadDescription["dtype"];
  readonly projection?: HeadDescription["projection"];
  readonly gate?: number;
}

interface OldHeads extends Omit<HeadsDescription, "version" | "heads"> {
  readonly version: 1 | 2 | 3 | 4;
  readonly heads: readonly OldHead[];
}

export function isOldHeads(json: unknown): json is OldHeads {
  const { format, version } = (json ?? {}) as { readonly format?: unknown; readonly version?: unknown };
  return format === "early-exits/heads" && [1, 2, 3, 4].includes(version as number);
}

/** Converts heads.json in a folder, and its entry of the manifest. Returns the hashes of the heads before and after. */
export async function convertHeads(
  folder: string,
  old: OldHeads,
): Promise<{ readonly before: string; readonly after: string }> {
  const description: HeadsDescription = {
    format: old.format,
    version: 5,
    modelHash: old.modelHash,
    heads: old.heads.map(convertHead),
  };
  const weights = await sha256(await readFile(join(folder, "heads.safetensors")));
  const hashOf = (of: object): Promise<string> => sha256(`${JSON.stringify(of)} ${weights}`);
  const text = headsJson(description);
  await writeFileAtomic(join(folder, "heads.json"), text);
  await updateManifest(folder, new TextEncoder().encode(text));
  return { before: await hashOf(old), after: await hashOf(description) };
}

function convertHead({ depth, shortlist, preview, dtype, projection, gate, ...old }: OldHead): HeadDescription {
  const pair = `${old.map ?? ""} ${old.vocabulary ?? ""}`;
  const kind =
    old.kind === "dense" || pair === "none trained"
      ? "dense"
      : /^linear (full|screened|preview|previewShortlist)$/.test(pair)
        ? "linear"
        : /^none (preview|previewShortlist)$/.test(pair)
          ? "preview"
          : undefined;
  if (kind === undefined || gate !== undefined) {
    const what = gate === undefined ? `is of a kind that has left (${old.kind ?? pair})` : "has a gate";
    throw new Error(`convert: the head at depth ${depth} ${what}; train heads again`);
  }
  return {
    depth,
    kind,
    ...(preview && { preview: { ...preview, ...(shortlist && { tokens: shortlist }) } }),
    ...(dtype && { dtype }),
    ...(projection && { projection }),
  };
}

async function updateManifest(folder: string, bytes: Uint8Array): Promise<void> {
  const path = join(folder, "manifest.json");
  if (!(await fileExists(path))) return;
  const manifest = (await readJson(path)) as { readonly files: Readonly<Record<string, object>> };
  const files = { ...manifest.files, "heads.json": { bytes: bytes.length, sha256: await sha256(bytes) } };
  await writeFileAtomic(path, `${JSON.stringify({ ...manifest, files }, undefined, 2)}\n`);
}

/**
 * A certificate for heads whose hash has changed, sealed again; undefined if it is for others, or no certificate.
 * Throws if the result is refuted.
 */
export async function renameHeads(
  json: unknown,
  hashes: ReadonlyMap<string, string>,
): Promise<Certificate | undefined> {
  if ((json as Partial<Certificate> | null)?.format !== "early-exits/certificate") return undefined;
  const content = omit(json as Certificate, "digest");
  const { policy } = content;
  const headsHash = hashes.get(policy.headsHash ?? "");
  if (headsHash === undefined) return undefined;
  const certificate = await sealCertificate({ ...content, policy: { ...policy, headsHash } });
  const { verdict, reasons } = await verifyCertificate(certificate);
  if (verdict !== "arithmetic consistent") throw new Error(`convert: ${reasons.join("; ")}`);
  return certificate;
}
