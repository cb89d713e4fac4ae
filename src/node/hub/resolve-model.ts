/**
 * Turns the name of a model into a path: a path that exists is returned as it is, and for a name of the Hub the missing
 * files are downloaded to the cache first. The weights are downloaded last, so a snapshot that has its weights is
 * complete. The commit of the revision is recorded after that. If the Hub cannot be reached, the cached snapshot of the
 * revision is used.
 */
import { readFile } from "node:fs/promises";
import type { CancelSignal } from "../../cancel-signal.js";
import { HubError } from "../../errors.js";
import {
  isHubName,
  neededFiles,
  type NeededFiles,
  parseHubName,
  shardsOf,
  tokenizerFiles,
} from "../../model/hub/index.js";
import { fileExists } from "../files.js";
import { fetchBlob } from "./fetch-blob.js";
import { RepoCache } from "./hub-cache.js";
import { type ClientOptions, HubClient, type RepoInfo } from "./hub-client.js";
import { isUnreachable } from "./hub-errors.js";
import { endpointOf, hubSettings } from "./settings.js";

export interface HubProgress {
  /** A file of the repository. */
  readonly file: string;
  /** Bytes downloaded so far, including those of an earlier download that is resumed. */
  readonly received: number;
  /** Bytes of the file. */
  readonly total: number;
}

/** The defaults come from environment variables; see docs/README.md. */
export interface HubOptions {
  /** Called when bytes of a file arrive, and once for a file that is already in the cache. */
  readonly onProgress?: (event: HubProgress) => void;
  /** Cancels the download: the signal's reason is thrown. The next download resumes. */
  readonly signal?: CancelSignal;
  /** @default HF_ENDPOINT, or https://huggingface.co */
  readonly endpoint?: string;
  /** @default HF_HUB_CACHE, or ~/.cache/huggingface/hub */
  readonly cache?: string;
  /** An access token, or "" for none. @default HF_TOKEN, or the token saved by `hf auth login` */
  readonly token?: string;
  /** Use the cache only. @default HF_HUB_OFFLINE */
  readonly offline?: boolean;
  /** Milliseconds without data after which a connection is dropped. @default HF_HUB_DOWNLOAD_TIMEOUT, or 10 s */
  readonly timeout?: number;
  /** Retries without progress before a download fails. @default 5 */
  readonly retries?: number;
  /** Milliseconds before the first retry; doubles with each. @default 500 */
  readonly backoff?: number;
}

export interface ResolvedModel {
  /** A model folder, or a GGUF file (the first one of a split model). */
  readonly path: string;
  /** Where it came from; undefined for a local path. */
  readonly hub?: {
    readonly repo: string;
    readonly revision: string;
    /** 40 hexadecimal digits. */
    readonly commit: string;
    /** Names in the repository. */
    readonly files: readonly string[];
    /** Total size of these files. */
    readonly bytes: number;
    /** "cache" if the Hub was not asked or could not be reached. */
    readonly source: "hub" | "cache";
  };
}

const LARGEST_INDEX = 2 ** 26; // bytes

/**
 * Resolves the name of a model to a path. A path that exists takes precedence over a name of the Hub (`org/name`,
 * `org/name@revision`, `org/name/file.gguf`); the prefix `hub:` forces the Hub. Any other text is returned unchanged.
 * Throws a HubError.
 */
export async function resolveModel(name: string, options: HubOptions = {}): Promise<ResolvedModel> {
  return resolve(name, options, neededFiles);
}

/** Resolves the name of a model as `resolveModel` does, but of a folder downloads the tokenizer's files alone. */
export async function resolveTokenizer(name: string, options: HubOptions = {}): Promise<ResolvedModel> {
  return resolve(name, options, tokenizerFiles);
}

/** Chooses the files to download. */
type Choice = typeof neededFiles;

async function resolve(name: string, options: HubOptions, choose: Choice): Promise<ResolvedModel> {
  const local = !name.startsWith("hub:") && (!isHubName(name) || (await fileExists(name)));
  if (local) return { path: name };
  const settings = await hubSettings();
  const { offline = settings.offline, token = settings.token } = options;
  const clientOptions: ClientOptions = {
    endpoint: options.endpoint === undefined ? settings.endpoint : endpointOf(options.endpoint),
    token: token === "" ? undefined : token,
    timeout: options.timeout ?? settings.timeout,
    retries: options.retries ?? 5,
    backoff: options.backoff ?? 500,
    signal: options.signal,
  };
  const cache = new RepoCache(options.cache ?? settings.cache, parseHubName(name));
  if (offline) return requireCached(cache, name, choose);
  const client = new HubClient(cache.name, clientOptions);
  const info = await client.info().catch(async (error: unknown) => {
    const cached = isUnreachable(error) ? await findCached(cache, choose) : undefined;
    if (cached === undefined) throw error;
    return cached;
  });
  if ("path" in info) return info;
  return download(cache, client, info, { choose, onProgress: options.onProgress ?? (() => undefined) });
}

async function download(
  cache: RepoCache,
  client: HubClient,
  { commit, files: listing }: RepoInfo,
  { choose, onProgress }: { readonly choose: Choice; readonly onProgress: (event: HubProgress) => void },
): Promise<ResolvedModel> {
  const fetchFile = async (name: string): Promise<void> => {
    const present = await cache.fileSize(commit, name);
    if (present !== undefined) {
      onProgress({ file: name, received: present, total: present });
      return;
    }
    const remote = await client.file(commit, name);
    const tell = (received: number): void => onProgress({ file: name, received, total: remote.size });
    if ((await cache.blobSize(remote.checksum)) === remote.size) tell(remote.size);
    else await fetchBlob(remote, client.asked(name), cache.blobs, client.options, tell);
    await cache.link(commit, name, remote.checksum);
  };
  const needed = choose(cache.name, listing);
  const files = [...needed.files];
  for (const name of files) await fetchFile(name);
  if (needed.index !== undefined) {
    for (const shard of await shardsIn(cache, commit, needed.index)) {
      await fetchFile(shard);
      files.push(shard);
    }
  }
  await cache.setCommit(commit);
  return resolved(cache, commit, needed, files, "hub");
}

/** What was chosen, in the cache; undefined unless it is complete. */
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

/** The shards that the index of a snapshot names. */
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
