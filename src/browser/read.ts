/** Models, heads and policies from all the places where a browser finds files. */
import { ModelError } from "../errors.js";
import { loadHeads } from "../exits/heads/deserialize-heads.js";
import type { ExitHeads } from "../exits/heads/exit-heads.js";
import type { ReadPolicyOptions } from "../calibrate/open-policy.js";
import type { Policy } from "../exits/plan/policy.js";
import { fileJson, loadFolder } from "../model/files/folder.js";
import { documentsOf, utf8Of } from "../model/files/text.js";
import type { OpenSibling } from "../model/gguf/load-gguf.js";
import type { Folder, FolderFile, LoadModelOptions, Model } from "../model/index.js";
import { onDevice } from "../tensor/create-device.js";
import type { Device, DeviceName } from "../tensor/index.js";
import { browserHost } from "./host.js";

interface GgufFiles {
  /** The only file, or the first of a split model. */
  readonly file: FolderFile;
  readonly openSibling: OpenSibling;
}

/** Files by path, with slashes. A Map of Blobs can be posted to a worker. */
export type FileMap = ReadonlyMap<string, Blob>;

/**
 * A source of files: the URL of a folder or of a .gguf file, a name of the Hugging Face Hub after "hub:"
 * (`hub:org/name@revision`), one file, files (`input.files` of a picker, with `webkitdirectory` those
 * of a folder), the result of `droppedFiles`, or a directory handle.
 */
type FilesSource = string | URL | File | Iterable<File> | FileMap | FileSystemDirectoryHandle;

/** Depth to which folders are searched: a Hugging Face folder, heads in it, and a folder around both. */
const LEVELS = 3;

/** The folder that contains the file `landmark`. */
async function folderOf(source: FilesSource, landmark: string): Promise<Folder> {
  if (typeof source === "string" || source instanceof URL) return urlFolder(await urlOf(source));
  return rootedFolder(await fileMap(source), landmark);
}

/** Files by path. */
async function fileMap(source: Exclude<FilesSource, string | URL>): Promise<FileMap> {
  if (source instanceof Map) return source as FileMap;
  const files = new Map<string, Blob>();
  const list = source instanceof File ? [source] : source;
  if (Symbol.iterator in list) {
    for (const file of list as Iterable<File>) files.set(file.webkitRelativePath || file.name, file);
  } else await walkHandle(list, "", files);
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

// Files behind URLs. Large ones are read in ranges (RFC 9110, section 14) of at least 8 MiB, so a model is never in
// memory as a whole. Servers without ranges send all at once, as a Blob that the browser may keep on disk. Left out:
// resuming a transfer that was cut.

/** Tensors are read in about the order of the file. */
const LEAST_RANGE = 2 ** 23;

function blobFile(path: string, blob: Blob): FolderFile {
  return {
    path,
    size: blob.size,
    read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
  };
}

/** Fetches a file as a whole; undefined if there is none. */
const wholeFile = async (href: string): Promise<FolderFile | undefined> => bodyOf(href, await fetchFile(href));

async function bodyOf(href: string, response: Response | undefined): Promise<FolderFile | undefined> {
  return response && blobFile(bare(href), await received(href, response.blob()));
}

/** Reads a file in ranges if its server knows them and shows its size; undefined if there is none. */
async function rangedFile(href: string): Promise<FolderFile | undefined> {
  const response = await fetchFile(href, "bytes=0-0");
  if (response?.status !== 206) return bodyOf(href, response);
  const size = Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]);
  if (!Number.isSafeInteger(size)) return wholeFile(href); // the header is hidden from pages of other origins
  let window = { begin: 0, bytes: new Uint8Array(0) };
  return {
    path: bare(href),
    size,
    async read(begin, end) {
      const stop = Math.min(end, size);
      if (stop <= begin) return new Uint8Array(0);
      if (begin < window.begin || stop > window.begin + window.bytes.length) {
        const last = Math.min(size, Math.max(stop, begin + LEAST_RANGE)) - 1;
        window = { begin, bytes: await fetchRange(href, begin, last) };
      }
      return window.bytes.slice(begin - window.begin, stop - window.begin);
    },
  };
}

/** Bytes first to last, both included; fewer if the file has become shorter. */
async function fetchRange(href: string, first: number, last: number): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetchFile(href, `bytes=${first}-${last}`);
  if (response?.status !== 206) throw failed(href, `no byte ${first}`);
  return new Uint8Array(await received(href, response.arrayBuffer()));
}

/** undefined if there is no such file. Throws a ModelError `fetch-failed`. */
async function fetchFile(href: string, range?: string): Promise<Response | undefined> {
  const response = await received(href, fetch(href, range === undefined ? {} : { headers: { range } }));
  // Servers of single-page apps often answer with their page if there is no file; a model has no HTML.
  if (response.status === 404 || response.headers.get("content-type")?.startsWith("text/html") === true) {
    return undefined;
  }
  if (!response.ok) throw failed(href, `status ${response.status}`);
  return response;
}

/** Throws a ModelError `fetch-failed` if the transfer fails. */
function received<T>(href: string, transfer: Promise<T>): Promise<T> {
  return transfer.catch((error: unknown) => {
    throw failed(href, String(error), error);
  });
}

/** A query may carry an access token. */
const bare = (href: string): string => href.replace(/\?.*$/, "");

function failed(href: string, why: string, cause?: unknown, code = "fetch-failed"): ModelError {
  const url = bare(href);
  return new ModelError(code, `${url}: ${why}; check the address and its CORS headers`, { url }, { cause });
}

function found(href: string, file: FolderFile | undefined): FolderFile {
  if (file !== undefined) return file;
  throw failed(href, "no such file", undefined, "file-missing");
}

/** A list may hold folders around the one meant: the root is that of the landmark, of several the shallowest. */
function rootedFolder(files: FileMap, landmark: string): Folder {
  const depthOf = (path: string): number => path.split("/").length;
  const [first] = [...files.keys()]
    .filter((path) => path === landmark || path.endsWith(`/${landmark}`))
    .sort((a, b) => depthOf(a) - depthOf(b));
  const root = first?.slice(0, -landmark.length) ?? "";
  return {
    path: root === "" ? "dropped files" : root.slice(0, -1),
    open(name) {
      const blob = files.get(root + name);
      return Promise.resolve(blob && blobFile(root + name, blob));
    },
  };
}

/** Of an address or a Hub name. Pages without such names do not load the rules. */
async function urlOf(source: string | URL): Promise<URL> {
  let text = String(source);
  if (text.startsWith("hub:")) text = (await import("../model/hub/hub-name.js")).hubUrl(text);
  try {
    return new URL(text, globalThis.location.href);
  } catch (error) {
    throw failed(text, "no URL", error);
  }
}

/** Files below a URL, each fetched as a whole when opened, with the URL's query. */
function urlFolder(url: URL): Folder {
  const base = new URL(bare(url.href).replace(/\/?$/, "/"));
  return {
    path: base.href,
    open: (name) => wholeFile(inside(base, name) + url.search),
  };
}

/** The address of a file of a folder. A name may be that of another server, as in "https:other.example/x". */
function inside(folder: URL, name: string): string {
  const { href } = new URL(name, folder);
  if (href.startsWith(folder.href)) return href;
  throw new ModelError(
    "file-outside",
    `${folder.href}: ${JSON.stringify(name)} lies outside; a model's files lie in it`,
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
    files.set(path + entry.name, await new Promise<File>((...ends) => (entry as FileSystemFileEntry).file(...ends)));
  } else if (level < LEVELS) {
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    const next = (): Promise<FileSystemEntry[]> => new Promise((...ends) => reader.readEntries(...ends));
    for (let entries = await next(); entries.length > 0; entries = await next()) {
      // browsers give a hundred at a time
      for (const inner of entries) await walkEntry(inner, `${path}${entry.name}/`, files, level + 1);
    }
  }
}

/**
 * A GGUF model among the files of a source: a URL that ends in .gguf, or files with a .gguf and no .safetensors (GGUF
 * repositories often hold a config.json too). Undefined for a folder. Throws a ModelError if there are several models;
 * the parts of a split one belong together.
 */
async function ggufFiles(source: FilesSource): Promise<GgufFiles | undefined> {
  if (typeof source === "string" || source instanceof URL) return remoteGguf(source);
  const files = await fileMap(source);
  const paths = [...files.keys()];
  const ggufs = paths.filter(isGguf).sort();
  if (ggufs.length === 0 || paths.some((path) => path.endsWith(".safetensors"))) return undefined;
  const models = ggufs.filter((path) => !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(path));
  if (models.length > 1) {
    throw new ModelError("gguf-several", `there are ${models.length} models, ${models.join(", ")}; give one`, {
      models,
    });
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
  const url = await urlOf(source);
  if (!isGguf(url.pathname)) return undefined;
  return {
    file: found(url.href, await rangedFile(url.href)),
    openSibling: (name) => rangedFile(new URL(`./${encodeURIComponent(name)}${url.search}`, url).href),
  };
}

const isGguf = (path: string): boolean => path.toLowerCase().endsWith(".gguf");

interface ReadModelOptions extends Omit<LoadModelOptions, "device"> {
  /** A device, or the name of one to create; dispose of `model.device` then. @default "auto" */
  readonly device?: Device | DeviceName;
}

/**
 * Loads a Hugging Face folder or a GGUF file (all parts, if split). Throws a ModelError or a GgufError that names what
 * is missing or does not fit.
 */
export async function readModel(
  source: FilesSource,
  { device: wish = "auto", ...options }: ReadModelOptions = {},
): Promise<Model> {
  const gguf = await ggufFiles(source);
  return onDevice(browserHost(), wish, async (device) => {
    if (gguf === undefined) return loadFolder(await folderOf(source, "config.json"), { ...options, device });
    const { loadGguf } = await import("../model/gguf/load-gguf.js"); // pages that read folders do not load it
    return loadGguf(gguf.file, { ...options, device }, gguf.openSibling);
  });
}

/**
 * Reads heads.json and heads.safetensors, in the folder or below. Throws a HeadsError if they belong to another model.
 */
export async function readHeads(source: FilesSource, model: Model): Promise<ExitHeads> {
  return loadHeads(await folderOf(source, "heads.json"), model);
}

/** A file of its own, picked or behind a URL. */
type FileSource = string | URL | File;

/** Throws a ModelError `file-missing` or `fetch-failed`. */
async function fileOf(source: FileSource): Promise<FolderFile> {
  if (source instanceof File) return blobFile(source.name, source);
  const { href } = await urlOf(source);
  return found(href, await wholeFile(href));
}

/**
 * Reads UTF-8 text. A .jsonl file of objects with a "text" field gives their texts, separated by form feeds (see
 * `splitDocuments`).
 */
export async function readText(source: FileSource): Promise<string> {
  const file = await fileOf(source);
  return documentsOf(utf8Of(await file.read(0, file.size), file.path), file.path);
}

/** Throws an EarlyExitError `json-malformed`, and a BudgetError for more than 64 MiB. */
export async function readJson(source: FileSource): Promise<unknown> {
  return fileJson(await fileOf(source), { limit: "tokenizerBytes" });
}

/**
 * Reads a policy from a certificate, or alone, where it promises nothing. The source is its file (a URL that ends in
 * .json), or a folder with policy.json or with a certificate for every level. Throws a PolicyError that names the file.
 */
export async function readPolicy(source: FilesSource, options?: ReadPolicyOptions): Promise<Policy> {
  const { openPolicy } = await import("../calibrate/open-policy.js"); // loaded only when a program opens a policy
  if (typeof source === "string" || source instanceof URL) {
    const url = await urlOf(source);
    return openPolicy(url.pathname.endsWith(".json") ? await fileOf(url) : urlFolder(url), options);
  }
  if (source instanceof File) return openPolicy(await fileOf(source), options);
  const files = await fileMap(source);
  return openPolicy({ path: "dropped files", open: (name) => rootedFolder(files, name).open(name) }, options);
}
