/** GGUF files on disk; the other files of a split model lie beside the first. */
import { basename, dirname } from "node:path";
import type { BudgetOptions } from "../model/files/folder.js";
import type { FolderFile } from "../model/index.js";
import { type OpenedGguf, openGguf, type OpenSibling } from "../model/gguf/load-gguf.js";
import { diskFolder, requireFile } from "./disk-folder.js";

export const isGguf = (path: string): boolean => path.toLowerCase().endsWith(".gguf");

export async function openGgufFile(path: string, options: BudgetOptions = {}): Promise<OpenedGguf> {
  const { file, openSibling } = await ggufFile(path);
  return openGguf(file, openSibling, options);
}

/** Throws an EarlyExitError `file-missing` if there is none. */
export async function ggufFile(
  path: string,
): Promise<{ readonly file: FolderFile; readonly openSibling: OpenSibling }> {
  const folder = diskFolder(dirname(path));
  return { file: await requireFile(folder, basename(path)), openSibling: (name) => folder.open(name) };
}
