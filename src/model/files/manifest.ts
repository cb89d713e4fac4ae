/**
 * manifest.json: sizes and hashes of files written into a folder together. Readers check it, so that files of two
 * trainings, or damaged ones, are refused. Folders from elsewhere need none.
 */
import { EarlyExitError } from "../../errors.js";
import { sha256 } from "../sha256.js";
import { fileJson, type Folder } from "./folder.js";

export const MANIFEST = "manifest.json";

interface Manifest {
  readonly format: "early-exits/manifest";
  readonly version: 1;
  readonly files: Readonly<Record<string, ManifestEntry>>;
}

interface ManifestEntry {
  readonly bytes: number;
  readonly sha256: string;
}

export async function manifestOf(files: ReadonlyMap<string, Uint8Array>): Promise<Manifest> {
  const entries: Record<string, ManifestEntry> = {};
  for (const [name, bytes] of files) entries[name] = { bytes: bytes.length, sha256: await sha256(bytes) };
  return { format: "early-exits/manifest", version: 1, files: entries };
}

/** Throws an EarlyExitError ("folder-damaged") for the first file that is missing or not as written. */
export async function checkManifest(folder: Folder): Promise<void> {
  const manifest = await folder.open(MANIFEST);
  if (manifest === undefined) return;
  const json = await fileJson(manifest);
  if (!isManifest(json)) {
    throw damaged(folder, MANIFEST, "it is not a manifest of this library, which lists sizes and hashes of files");
  }
  for (const [name, entry] of Object.entries(json.files)) {
    const file = await folder.open(name);
    if (file === undefined) throw damaged(folder, name, "the manifest lists it, and it is missing");
    if (file.size !== entry.bytes) {
      throw damaged(folder, name, `the manifest lists it with ${entry.bytes} bytes, it has ${file.size}`);
    }
    if ((await sha256(await file.read(0, file.size))) !== entry.sha256) {
      throw damaged(folder, name, "its contents are not those that the manifest lists");
    }
  }
}

function isManifest(json: unknown): json is Manifest {
  const fields = json as Partial<Manifest> | null;
  if (typeof fields !== "object" || fields === null || fields.format !== "early-exits/manifest") return false;
  const files: unknown = fields.files;
  if (fields.version !== 1 || typeof files !== "object" || files === null) return false;
  return Object.entries(files).every(([name, entry]) => {
    const { bytes, sha256 } = (entry ?? {}) as Partial<ManifestEntry>;
    return /^[^/\\:]+$/.test(name) && Number.isSafeInteger(bytes) && typeof sha256 === "string";
  });
}

function damaged(folder: Folder, name: string, why: string): EarlyExitError {
  return new EarlyExitError(
    "folder-damaged",
    `${folder.path}/${name}: ${why}; the folder was damaged, or holds files of two runs: write it anew, or restore ` +
      `it. If you changed the file on purpose, delete ${MANIFEST}`,
    { folder: folder.path, file: name },
  );
}
