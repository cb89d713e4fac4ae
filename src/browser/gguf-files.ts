/**
 * A GGUF model among the files of a source: a URL that ends in .gguf, or files with a .gguf and no .safetensors (GGUF
 * repositories often hold a config.json too). The parts of a split model belong together; two models do not.
 */
import { ModelError } from "../errors.js";
import type { FolderFile } from "../model/index.js";
import type { OpenSibling } from "../model/gguf/load-gguf.js";
import { blobFile } from "./blob-file.js";
import { addressOf, fileMap, type FilesSource } from "./folders.js";
import { rangedFile } from "./remote-file.js";

export interface GgufFiles {
  /** The only file, or the first of a split model. */
  readonly file: FolderFile;
  readonly openSibling: OpenSibling;
}

/** undefined for a folder. Throws a ModelError if there are several models. */
export async function ggufFiles(source: FilesSource): Promise<GgufFiles | undefined> {
  if (typeof source === "string" || source instanceof URL) return remoteGguf(source);
  const files = await fileMap(source);
  const paths = [...files.keys()];
  const ggufs = paths.filter(isGguf).sort();
  if (ggufs.length === 0 || paths.some((path) => path.endsWith(".safetensors"))) return undefined;
  const models = ggufs.filter((path) => !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(path));
  if (models.length > 1) {
    throw new ModelError(
      "gguf-several",
      `there are ${models.length} models, ${models.slice(0, 3).join(", ")}${models.length > 3 ? ", …" : ""}; give one`,
      { models },
    );
  }
  const path = models[0] ?? ggufs[0]!; // a later part alone: the reader says that the first one is missing
  const around = path.slice(0, path.lastIndexOf("/") + 1);
  const open = (name: string): FolderFile | undefined => {
    const blob = files.get(name);
    return blob && blobFile(name, blob);
  };
  return { file: open(path)!, openSibling: (name) => Promise.resolve(open(around + name)) };
}

async function remoteGguf(source: string | URL): Promise<GgufFiles | undefined> {
  const url = new URL(await addressOf(source), globalThis.location.href);
  if (!isGguf(url.pathname)) return undefined;
  const file = await rangedFile(url.href);
  if (file === undefined) {
    throw new ModelError("file-missing", `${url.href}: there is no such file; check the address`, { url: url.href });
  }
  // Names of parts come from the path without a query; the query may carry an access token, so it is kept.
  return {
    file: { ...file, path: url.origin + url.pathname },
    openSibling: (name) => rangedFile(new URL(`./${encodeURIComponent(name)}${url.search}`, url).href),
  };
}

const isGguf = (path: string): boolean => path.toLowerCase().endsWith(".gguf");
