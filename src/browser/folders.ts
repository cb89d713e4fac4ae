/**
 * Folders in a browser: a URL, a file picker's list, a dropped folder, a directory handle. A list may include folders
 * around the one meant: the root is that of the expected file, or of the shallowest one.
 */
import { ModelError } from "../errors.js";
import type { Folder } from "../model/index.js";
import { blobFile } from "./blob-file.js";
import { wholeFile } from "./remote-file.js";

/** Files by path, with slashes. A Map of Blobs can be posted to a worker. */
export type FileMap = ReadonlyMap<string, Blob>;

/**
 * A source of files: the URL of a folder or of a .gguf file, a name of the Hugging Face Hub after "hub:"
 * (`hub:org/name@revision`), one file, files (`input.files` of a picker, with `webkitdirectory` those
 * of a folder), the result of `droppedFiles`, or a directory handle.
 */
export type FilesSource = string | URL | File | Iterable<File> | FileMap | FileSystemDirectoryHandle;

/** Depth to which folders are searched: a Hugging Face folder, heads in it, and a folder around both. */
const LEVELS = 3;

/** The folder that contains the file `landmark`. */
export async function folderOf(source: FilesSource, landmark: string): Promise<Folder> {
  if (typeof source === "string" || source instanceof URL) return urlFolder(await addressOf(source));
  return rootedFolder(await fileMap(source), landmark);
}

/** Files by path. */
export async function fileMap(source: Exclude<FilesSource, string | URL>): Promise<FileMap> {
  if (source instanceof Map) return source as FileMap;
  if (source instanceof File) return new Map([[source.name, source]]);
  const files = new Map<string, Blob>();
  if (Symbol.iterator in source) {
    for (const file of source as Iterable<File>) files.set(file.webkitRelativePath || file.name, file);
  } else await walkHandle(source, "", files);
  return files;
}

/** Call it in the drop event: the list is gone afterwards. */
export async function droppedFiles({ items }: DataTransfer): Promise<FileMap> {
  const files = new Map<string, Blob>();
  await Promise.all(
    Array.from(items, async (item) => {
      const entry = item.webkitGetAsEntry();
      const file = item.getAsFile(); // a file that a script has put into the list has no entry
      if (entry !== null) await walkEntry(entry, "", files);
      else if (file !== null) files.set(file.name, file);
    }),
  );
  return files;
}

function rootedFolder(files: FileMap, landmark: string): Folder {
  const depthOf = (path: string): number => path.split("/").length;
  const [first] = [...files.keys()]
    .filter((path) => path === landmark || path.endsWith(`/${landmark}`))
    .sort((a, b) => depthOf(a) - depthOf(b));
  const root = first?.slice(0, -landmark.length) ?? "";
  return {
    path: root === "" ? "the dropped files" : root.slice(0, -1),
    open(name) {
      const blob = files.get(root + name);
      return Promise.resolve(blob && blobFile(root + name, blob));
    },
  };
}

/** URL of a Hub name; others stay. Pages without such names do not load the rules. */
export async function addressOf(source: string | URL): Promise<string> {
  const text = String(source);
  return text.startsWith("hub:") ? (await import("../model/hub/hub-name.js")).hubUrl(text) : text;
}

/** Files below a URL, each fetched as a whole when opened. */
function urlFolder(text: string): Folder {
  const base = new URL(text.endsWith("/") ? text : `${text}/`, globalThis.location.href);
  return {
    path: base.href,
    open: (name) => wholeFile(inside(base, name)),
  };
}

/** The address of a file of a folder. A name may be that of another server, as in "https:other.example/x". */
function inside(folder: URL, name: string): string {
  const { href } = new URL(name, folder);
  if (href.startsWith(folder.href)) return href;
  throw new ModelError(
    "file-outside",
    `${folder.href}: ${JSON.stringify(name)} lies outside this folder; files of a model are only read from its own`,
    { folder: folder.href, name },
  );
}

async function walkHandle(
  handle: FileSystemDirectoryHandle,
  path: string,
  files: Map<string, Blob>,
  level = 1,
): Promise<void> {
  for await (const entry of handle.values()) {
    if (entry.kind === "file") files.set(path + entry.name, await entry.getFile());
    else if (level < LEVELS) await walkHandle(entry, `${path}${entry.name}/`, files, level + 1);
  }
}

async function walkEntry(entry: FileSystemEntry, path: string, files: Map<string, Blob>, level = 0): Promise<void> {
  if (entry.isFile) {
    files.set(
      path + entry.name,
      await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
    );
  } else if (level < LEVELS) {
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    const next = (): Promise<FileSystemEntry[]> =>
      new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    for (let entries = await next(); entries.length > 0; entries = await next()) {
      // browsers give a hundred at a time
      for (const inner of entries) await walkEntry(inner, `${path}${entry.name}/`, files, level + 1);
    }
  }
}
