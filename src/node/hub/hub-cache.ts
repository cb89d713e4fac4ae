/**
 * The cache that Hugging Face's tools share, as huggingface_hub lays it out:
 *
 *   models--org--name/refs/main                    the commit of the revision when it was last looked up
 *   models--org--name/blobs/<checksum>             contents: SHA-256 of LFS files, git's SHA-1 of others
 *   models--org--name/snapshots/<commit>/<file>    links to ../../blobs/<checksum>
 *
 * Files are written under a temporary name and then renamed, so other processes only ever see complete files. Commits
 * and checksums become parts of paths: the caller must have checked that they are hexadecimal.
 */
import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { HubError } from "../../errors.js";
import { removeStaleTemporaries } from "../files.js";
import type { HubName } from "../../model/hub/index.js";

export class RepoCache {
  readonly root: string;

  constructor(
    cache: string,
    readonly name: HubName,
  ) {
    this.root = join(cache, `models--${name.repo.replace("/", "--")}`);
  }

  get blobs(): string {
    return join(this.root, "blobs");
  }

  snapshot(commit: string): string {
    return join(this.root, "snapshots", commit);
  }

  file(commit: string, name: string): string {
    return join(this.snapshot(commit), ...name.split("/"));
  }

  /** The commit of the revision: the revision itself if it is a commit, otherwise the last one looked up. */
  async commit(): Promise<string | undefined> {
    if (isCommit(this.name.revision)) return this.name.revision;
    const text = await readFile(this.#ref(), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  async setCommit(commit: string): Promise<void> {
    if (this.name.revision === commit || (await this.commit()) === commit) return;
    await onDisk(this.#ref(), async (path) => {
      const temporary = await temporaryBeside(path);
      try {
        await writeFile(temporary, commit);
        await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  /** Bytes of a file of a snapshot; undefined if it is not in the cache. */
  async fileSize(commit: string, name: string): Promise<number | undefined> {
    return sizeOf(this.file(commit, name));
  }

  /** The files of a snapshot, with slashes; none if there is no such snapshot. */
  async files(commit: string): Promise<string[]> {
    const folder = this.snapshot(commit);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const names = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
    const sizes = await Promise.all(names.map((name) => this.fileSize(commit, name)));
    return names.filter((_, i) => sizes[i] !== undefined);
  }

  /** Bytes of a blob; undefined if there is none. */
  async blobSize(checksum: string): Promise<number | undefined> {
    return sizeOf(join(this.blobs, checksum));
  }

  /** Links a file of a snapshot to a blob, or copies the blob if the system does not allow links. */
  async link(commit: string, name: string, checksum: string): Promise<void> {
    const blob = join(this.blobs, checksum);
    await onDisk(this.file(commit, name), async (path) => {
      const temporary = await temporaryBeside(path);
      try {
        await symlink(relative(dirname(path), blob), temporary).catch(() => copyFile(blob, temporary));
        await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  #ref(): string {
    return join(this.root, "refs", ...this.name.revision.split("/"));
  }
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** Runs `work` on a path and turns file system errors into HubErrors `hub-no-space` and `hub-disk`. */
export async function onDisk<T>(path: string, work: (path: string) => Promise<T>): Promise<T> {
  try {
    return await work(path);
  } catch (error) {
    throw diskError(path, error);
  }
}

/** Turns a file system error into a HubError; returns any other value unchanged. */
function diskError(path: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined || !(error instanceof Error)) return error;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const advice = full ? "free some space, or set HF_HUB_CACHE to another disk" : "set HF_HUB_CACHE to another folder";
  return new HubError(
    full ? "hub-no-space" : "hub-disk",
    `${path}: cannot be written (${full ? "the disk is full" : code}); ${advice}`,
    { path, cause: code },
    { cause: error },
  );
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
}

/** A name for a temporary file beside a file. Makes the folder, and removes what killed processes have left there. */
async function temporaryBeside(path: string): Promise<string> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  await removeStaleTemporaries(folder, await readdir(folder));
  return `${path}.${process.pid}-${randomUUID()}.tmp`;
}
