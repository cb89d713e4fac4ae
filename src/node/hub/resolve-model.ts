/**
 * Model names to paths: existing paths stay, and a Hub name's missing files are downloaded to the cache. Weights come
 * last, so a snapshot with weights is complete; then the revision's commit is recorded. If the Hub cannot be reached,
 * the revision's cached snapshot is used.
 *
 * @huggingface/hub, loaded on first use, says what a repository holds (`modelInfo`, `pathsInfo`). Its
 * `downloadFileToCacheDir` is not used: it prints to stdout, joins checksums to paths as a server sends them, compares
 * no byte with them, and turns errors of a connection into text.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { CancelSignal } from "../../cancel-signal.js";
import { HubError, requireInteger } from "../../errors.js";
import { type HubName, isHubName, isSafePath, parseHubName } from "../../model/hub/hub-name.js";
import { neededFiles, type NeededFiles, shardsOf, tokenizerFiles } from "../../model/hub/needed-files.js";
import type { FolderFile } from "../../model/files/folder.js";
import type { LoadModelOptions } from "../../model/files/load.js";
import { diskFolder } from "../disk-folder.js";
import { fileExists } from "../files.js";
import { requireFits } from "./require-fits.js";
import { answerError, type Asked, type Connection, hubFetch, isUnreachable, withRetries } from "./hub-fetch.js";
import { type Blob, isCommit, RepoCache } from "./repo-cache.js";

// Settings from the environment variables of huggingface_hub (see "Environment variables" in its documentation):
//
//   HF_ENDPOINT        https://huggingface.co
//   HF_HOME            $XDG_CACHE_HOME/huggingface, or ~/.cache/huggingface
//   HF_HUB_CACHE       $HF_HOME/hub (formerly HUGGINGFACE_HUB_CACHE)
//   HF_TOKEN           or the file HF_TOKEN_PATH, by default $HF_HOME/token (formerly HUGGING_FACE_HUB_TOKEN)
//   HF_HUB_OFFLINE     1, ON, YES or TRUE: use the cache only (also TRANSFORMERS_OFFLINE)
//   HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_DOWNLOAD_TIMEOUT (seconds)
//
// `getHFHubCachePath` of @huggingface/hub covers the cache only, and does not expand "~" or variables.

interface HubSettings {
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly cache: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  /** Milliseconds without data before a connection is dropped. */
  readonly timeout: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const TIMEOUT = 10_000;
/** What a timer takes. */
const LONGEST = 2 ** 31 - 1;

export async function hubSettings(env: Environment = process.env, home = homedir()): Promise<HubSettings> {
  const path = (name: string): string | undefined => {
    const value = env[name];
    return value === undefined || value === "" ? undefined : expandPath(value, env, home);
  };
  const hfHome = path("HF_HOME") ?? join(path("XDG_CACHE_HOME") ?? join(home, ".cache"), "huggingface");
  const seconds = Number(env["HF_HUB_DOWNLOAD_TIMEOUT"]);
  return {
    endpoint: endpointOf(env["HF_ENDPOINT"]),
    cache: path("HF_HUB_CACHE") ?? path("HUGGINGFACE_HUB_CACHE") ?? join(hfHome, "hub"),
    token: isOn(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])
      ? undefined
      : (cleanToken(env["HF_TOKEN"]) ??
        cleanToken(env["HUGGING_FACE_HUB_TOKEN"]) ??
        (await tokenIn(path("HF_TOKEN_PATH") ?? join(hfHome, "token")))),
    offline: isOn(env["HF_HUB_OFFLINE"]) || isOn(env["TRANSFORMERS_OFFLINE"]),
    timeout: seconds > 0 ? Math.min(1000 * seconds, LONGEST) : TIMEOUT,
  };
}

/** Removes a trailing slash. Throws a HubError `hub-endpoint`. */
export function endpointOf(endpoint: string | undefined): string {
  if (endpoint === undefined || endpoint === "") return "https://huggingface.co";
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new HubError("hub-endpoint", `HF_ENDPOINT: expected an http or https address, found "${endpoint}"`, {
      endpoint,
    });
  }
  return endpoint.replace(/\/+$/, "");
}

function expandPath(path: string, env: Environment, home: string): string {
  return path
    .replace(/^~(?=$|[/\\])/, () => home)
    .replaceAll(
      /\$(?:(\w+)|\{(\w+)\})/g,
      (text, plain?: string, braced?: string) => env[plain ?? braced ?? ""] ?? text,
    );
}

function isOn(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value ?? "");
}

function cleanToken(text: string | undefined): string | undefined {
  const token = text?.replaceAll(/\s/g, "");
  return token === "" ? undefined : token;
}

async function tokenIn(path: string): Promise<string | undefined> {
  return cleanToken(await readFile(path, "utf8").catch(() => undefined));
}

export interface HubProgress {
  readonly file: string;
  /** Bytes downloaded so far. */
  readonly received: number;
  readonly total: number;
}

/** The defaults come from environment variables; see docs/11-your-model.md. */
export interface HubOptions {
  /** Called when bytes arrive, and once for a file that is already in the cache. */
  readonly onProgress?: (event: HubProgress) => void;
  /** Cancels the download by throwing the signal's reason. Complete files stay. */
  readonly signal?: CancelSignal;
  /** @default HF_ENDPOINT, or https://huggingface.co */
  readonly endpoint?: string;
  /** @default HF_HUB_CACHE, or ~/.cache/huggingface/hub */
  readonly cache?: string;
  /** An access token, or "" for none. @default HF_TOKEN, or the token saved by `hf auth login` */
  readonly token?: string;
  /** Use the cache only. @default HF_HUB_OFFLINE */
  readonly offline?: boolean;
  /** Milliseconds without data before a connection is dropped. @default HF_HUB_DOWNLOAD_TIMEOUT, or 10 s */
  readonly timeout?: number;
  /** Retries of a request or file. @default 5 */
  readonly retries?: number;
  /** Milliseconds before the first retry; doubles with each. @default 500 */
  readonly backoff?: number;
}

export interface ResolvedModel {
  /** Model folder, or GGUF file (the first one of a split model). */
  readonly path: string;
  /** Origin on the Hub; undefined for a local path. */
  readonly hub?: {
    readonly repo: string;
    readonly revision: string;
    /** 40 hexadecimal digits. */
    readonly commit: string;
    /** Names in the repository. */
    readonly files: readonly string[];
    readonly bytes: number;
    /** "cache" if the Hub was not asked or could not be reached. */
    readonly source: "hub" | "cache";
  };
}

const LARGEST_INDEX = 2 ** 26; // bytes
const LONGEST_INFO = 2 ** 25; // bytes
/** Retries of requests that describe files; files themselves have more. */
const METADATA_RETRIES = 2;

type Fetch = typeof fetch;

interface ResolveOptions extends HubOptions {
  /** The way the model will be loaded: one that exceeds the device is refused before its weights are downloaded. */
  readonly load?: LoadModelOptions;
}

/**
 * An existing path takes precedence over a name of the Hub (`org/name`, `org/name@revision`, `org/name/file.gguf`); the
 * prefix `hub:` forces the Hub. Any other text is returned unchanged. Throws a HubError, and with `load` a ModelError.
 */
export async function resolveModel(name: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  return resolve(name, options, neededFiles);
}

/** Downloads the tokenizer's files alone, unless the model is a GGUF file. */
export async function resolveTokenizer(name: string, options: HubOptions = {}): Promise<ResolvedModel> {
  return resolve(name, options, tokenizerFiles);
}

type Choice = typeof neededFiles;

async function resolve(name: string, options: ResolveOptions, choose: Choice): Promise<ResolvedModel> {
  const local = !name.startsWith("hub:") && (!isHubName(name) || (await fileExists(name)));
  if (local) return { path: name };
  const settings = await hubSettings();
  const { offline = settings.offline, token = settings.token } = options;
  const connection: Connection = {
    endpoint: options.endpoint === undefined ? settings.endpoint : endpointOf(options.endpoint),
    token: token === "" ? undefined : token,
    timeout: requireInteger("hub: timeout", Math.ceil(Math.min(options.timeout ?? settings.timeout, LONGEST)), 1),
    retries: requireInteger("hub: retries", options.retries ?? 5, 0),
    backoff: requireInteger("hub: backoff", options.backoff ?? 500, 0),
    signal: options.signal,
  };
  const cache = new RepoCache(options.cache ?? settings.cache, parseHubName(name));
  if (offline) return requireCached(cache, name, choose);
  const info = await askRepo(cache.name, connection).catch(async (error: unknown) => {
    const cached = isUnreachable(error) ? await findCached(cache, choose) : undefined;
    if (cached === undefined) throw error;
    return cached;
  });
  if ("path" in info) return info;
  const { load, onProgress = () => undefined } = options;
  return download(cache, connection, info, { choose, load, onProgress });
}

/** Commit and file names as the server sent them, without names that lead out of their folder. */
async function askRepo(
  { repo, revision }: HubName,
  connection: Connection,
): Promise<{ readonly commit: string; readonly files: readonly string[] }> {
  const { modelInfo } = await import("@huggingface/hub");
  const what = `${repo}@${revision}`;
  const info = await askHub(connection, { what, repo }, "it does not describe a model", (fetch) =>
    modelInfo({ name: repo, revision, hubUrl: connection.endpoint, additionalFields: ["sha", "filePaths"], fetch }),
  );
  const { sha, filePaths } = info as { sha?: unknown; filePaths?: unknown };
  if (typeof sha !== "string" || !isCommit(sha)) throw answerError(what, "it names no commit");
  if (!Array.isArray(filePaths) || !filePaths.every((path): path is string => typeof path === "string")) {
    throw answerError(what, "it lists no files");
  }
  return { commit: sha, files: filePaths.filter(isSafePath) };
}

async function askBlobs(
  { repo }: HubName,
  commit: string,
  names: readonly string[],
  connection: Connection,
): Promise<ReadonlyMap<string, Blob>> {
  const { pathsInfo } = await import("@huggingface/hub");
  const what = `${repo}@${commit}`;
  const asked = { repo, revision: commit, paths: [...names], hubUrl: connection.endpoint };
  const found = await askHub(connection, { what, repo }, "it does not describe files", (fetch) =>
    pathsInfo({ ...asked, fetch }),
  );
  return new Map(
    names.map((name) => {
      const info = found.find(({ path }) => path === name);
      if (info === undefined) throw answerError(what, `it does not describe ${name}`);
      const checksum: unknown = info.lfs?.oid ?? info.oid;
      const size: unknown = info.lfs?.size ?? info.size;
      if (typeof checksum !== "string" || !/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(checksum)) {
        throw answerError(`${what}/${name}`, `its checksum ${JSON.stringify(checksum)} is no SHA-256 and no SHA-1`);
      }
      if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
        throw answerError(`${what}/${name}`, `its size is ${JSON.stringify(size)}`);
      }
      return [name, { checksum, size }];
    }),
  );
}

/** Calls a function of @huggingface/hub with our `fetch`: its own takes only tokens that begin with "hf_". */
async function askHub<T>(
  connection: Connection,
  asked: Omit<Asked, "mostBytes">,
  otherwise: string,
  call: (fetch: Fetch) => Promise<T>,
): Promise<T> {
  const retries = Math.min(connection.retries, METADATA_RETRIES);
  const fetch = hubFetch(connection, { ...asked, mostBytes: LONGEST_INFO });
  return withRetries({ ...connection, retries }, () =>
    call(fetch).catch((error: unknown) => {
      connection.signal?.throwIfAborted();
      throw error instanceof HubError ? error : answerError(asked.what, otherwise, error);
    }),
  );
}

interface DownloadOptions {
  readonly choose: Choice;
  readonly load: LoadModelOptions | undefined;
  readonly onProgress: (event: HubProgress) => void;
}

async function download(
  cache: RepoCache,
  connection: Connection,
  { commit, files: listing }: { readonly commit: string; readonly files: readonly string[] },
  { choose, load, onProgress }: DownloadOptions,
): Promise<ResolvedModel> {
  const { repo, revision } = cache.name;
  const fetchFiles = async (names: readonly string[]): Promise<void> => {
    const present = await Promise.all(names.map((name) => cache.fileSize(commit, name)));
    const missing = names.filter((_, i) => present[i] === undefined);
    const blobs = missing.length === 0 ? undefined : await askBlobs(cache.name, commit, missing, connection);
    /** Of the name, or of one that ends with it: parts of a GGUF model name each other without their folder. */
    const open = async (name: string): Promise<FolderFile | undefined> => {
      const file = names.find((one) => one.endsWith(name))!;
      const blob = blobs?.get(file);
      return blob === undefined ? diskFolder(cache.snapshot(commit)).open(file) : remoteFile(file, blob);
    };
    for (const [i, file] of names.entries()) {
      const blob = blobs?.get(file);
      const total = blob?.size ?? present[i]!;
      const tell = (received: number): void => onProgress({ file, received, total });
      if (blob === undefined || (await cache.hasBlob(blob))) tell(total);
      else {
        if (load !== undefined && file === needed.gguf) {
          await requireFits((await open(file))!, open, load).catch(unlessHub);
        }
        await fetchFile(file, blob, tell);
      }
      if (blob !== undefined) await cache.link(commit, file, blob.checksum);
      if (load !== undefined && file === "config.json") {
        await requireFits((await diskFolder(cache.snapshot(commit)).open(file))!, open, load);
      }
    }
  };
  const request = async (file: string, asked: Omit<Asked, "what" | "repo">, init: RequestInit = {}) => {
    const path = file.split("/").map(encodeURIComponent).join("/");
    const fetch = hubFetch(connection, { what: `${repo}@${revision}/${file}`, repo, ...asked });
    return fetch(`${connection.endpoint}/${repo}/resolve/${commit}/${path}`, init);
  };
  const remoteFile = (file: string, { size }: Blob): FolderFile => ({
    path: file,
    size,
    async read(begin, end) {
      const headers = { range: `bytes=${begin}-${end - 1}` };
      return new Uint8Array(await (await request(file, { mostBytes: end - begin }, { headers })).arrayBuffer());
    },
  });
  const fetchFile = async (file: string, blob: Blob, tell: (received: number) => void): Promise<void> => {
    await withRetries(connection, async () => {
      tell(0);
      await cache.writeBlob({ ...blob, what: `${repo}@${revision}/${file}` }, async () => {
        const { body } = await request(file, { mostBytes: blob.size, onBytes: tell });
        return body ?? [];
      });
    });
  };
  const needed = choose(cache.name, listing);
  const files = [...needed.files];
  await fetchFiles(files);
  if (needed.index !== undefined) {
    const shards = await shardsIn(cache, commit, needed.index);
    await fetchFiles(shards);
    files.push(...shards);
  }
  await cache.setCommit(commit);
  return resolved(cache, commit, needed, files, "hub");
}

/** A server without ranges, or one that fails, is left to the download. */
function unlessHub(error: unknown): void {
  if (!(error instanceof HubError)) throw error;
}

/** Chosen files in the cache; undefined unless complete. */
async function findCached(cache: RepoCache, choose: Choice): Promise<ResolvedModel | undefined> {
  const commit = await cache.commit();
  if (commit === undefined) return undefined;
  const listing = await cache.files(commit);
  try {
    const needed = choose(cache.name, listing);
    const shards = needed.index === undefined ? [] : await shardsIn(cache, commit, needed.index);
    if (shards.some((shard) => !listing.includes(shard))) return undefined;
    return await resolved(cache, commit, needed, [...needed.files, ...shards], "cache");
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

async function requireCached(cache: RepoCache, name: string, choose: Choice): Promise<ResolvedModel> {
  const cached = await findCached(cache, choose);
  if (cached !== undefined) return cached;
  throw new HubError(
    "hub-offline",
    `${name}: is missing or incomplete in the cache (${cache.root}), and downloads are off; unset HF_HUB_OFFLINE, ` +
      "or give the path of a model",
    { name },
  );
}

async function shardsIn(cache: RepoCache, commit: string, index: string): Promise<readonly string[]> {
  const { repo } = cache.name;
  const malformed = (found: string, cause?: unknown): HubError =>
    new HubError("hub-no-model", `${repo}: ${index} cannot be read (${found})`, { repo }, { cause });
  const size = (await cache.fileSize(commit, index)) ?? 0;
  if (size > LARGEST_INDEX) throw malformed(`${size} bytes; expected at most ${LARGEST_INDEX}`);
  const text = await readFile(cache.file(commit, index), "utf8");
  try {
    return shardsOf(repo, JSON.parse(text));
  } catch (error) {
    throw error instanceof SyntaxError ? malformed(error.message, error) : error;
  }
}

async function resolved(
  cache: RepoCache,
  commit: string,
  { gguf }: NeededFiles,
  files: readonly string[],
  source: "hub" | "cache",
): Promise<ResolvedModel> {
  const { repo, revision } = cache.name;
  const path = gguf === undefined ? cache.snapshot(commit) : cache.file(commit, gguf);
  const sizes = await Promise.all(files.map(async (file) => (await cache.fileSize(commit, file)) ?? 0));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return { path, hub: { repo, revision, commit, files, bytes, source } };
}
