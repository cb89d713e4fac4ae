/**
 * The cache that Hugging Face's tools share, as huggingface_hub lays it out:
 *
 *   models--org--name/refs/main                    the commit of the revision when it was last looked up
 *   models--org--name/blobs/<checksum>             contents: SHA-256 of LFS files, git's SHA-1 of others
 *   models--org--name/snapshots/<commit>/<file>    links to ../../blobs/<checksum>
 *
 * Files are written under a name of the process's own and renamed, so others only see complete ones. Commits and
 * checksums become parts of paths: the caller must have checked that they are hexadecimal.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, statfs, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { HubError } from "../../errors.js";
import type { HubName } from "../../model/hub/hub-name.js";
import { removeStaleTemporaries, temporaryName } from "../files.js";

export class RepoCache {
  readonly root: string;

  constructor(
    cache: string,
    readonly name: HubName,
  ) {
    this.root = join(cache, `models--${name.repo.replace("/", "--")}`);
  }

  snapshot(commit: string): string {
    return join(this.root, "snapshots", commit);
  }

  file(commit: string, name: string): string {
    return join(this.snapshot(commit), ...name.split("/"));
  }

  /** The revision itself if it is a commit, otherwise the last one looked up. */
  async commit(): Promise<string | undefined> {
    if (isCommit(this.name.revision)) return this.name.revision;
    const text = await readFile(this.#ref(), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  async setCommit(commit: string): Promise<void> {
    if (this.name.revision === commit || (await this.commit()) === commit) return;
    await replace(this.#ref(), (temporary) => writeFile(temporary, commit));
  }

  /** Bytes of a file; undefined if it is not in the cache. */
  async fileSize(commit: string, name: string): Promise<number | undefined> {
    return sizeOf(this.file(commit, name));
  }

  /** Names with slashes; none if there is no such snapshot. */
  async files(commit: string): Promise<string[]> {
    const folder = this.snapshot(commit);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const names = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
    const sizes = await Promise.all(names.map((name) => this.fileSize(commit, name)));
    return names.filter((_, i) => sizes[i] !== undefined);
  }

  async hasBlob({ checksum, size }: Blob): Promise<boolean> {
    return (await sizeOf(this.#blob(checksum))) === size;
  }

  /** Throws a HubError if the bytes do not match the checksum, or the disk does not keep them. */
  async writeBlob(
    { what, checksum, size }: Blob & { readonly what: string },
    open: () => Promise<AsyncIterable<Uint8Array> | Iterable<Uint8Array>>,
  ): Promise<void> {
    const blob = this.#blob(checksum);
    await replace(blob, async (temporary) => {
      await requireSpace(dirname(blob), size);
      const hash = checksum.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
      const chunks = await open();
      async function* hashed(): AsyncGenerator<Uint8Array, void, undefined> {
        for await (const chunk of chunks) {
          hash.update(chunk);
          yield chunk;
        }
      }
      const written = createWriteStream(temporary, { flush: true });
      try {
        await pipeline(hashed(), written);
      } finally {
        // A file that is still being opened would outlive its removal.
        if (!written.closed) await once(written, "close");
      }
      if (hash.digest("hex") !== checksum) throw checksumError(what, checksum);
      const kept = await sizeOf(temporary);
      if (kept !== size) throw notKept(temporary, size, kept);
    });
  }

  /** Copies the blob if the system does not allow links. */
  async link(commit: string, name: string, checksum: string): Promise<void> {
    const path = this.file(commit, name);
    const blob = this.#blob(checksum);
    await replace(path, (temporary) =>
      symlink(relative(dirname(path), blob), temporary).catch(() => copyFile(blob, temporary)),
    );
  }

  #ref(): string {
    return join(this.root, "refs", ...this.name.revision.split("/"));
  }

  #blob(checksum: string): string {
    return join(this.root, "blobs", checksum);
  }
}

export interface Blob {
  /** SHA-256 (64 hexadecimal digits) of an LFS file, or git's SHA-1 (40) of another. */
  readonly checksum: string;
  readonly size: number;
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
}

/**
 * Makes a file under a temporary name, in a folder that it makes too, and renames it. Removes what killed processes
 * have left there. Turns file system errors into HubErrors.
 */
async function replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = temporaryName(path);
  try {
    await mkdir(folder, { recursive: true });
    await removeStaleTemporaries(folder, await readdir(folder));
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    throw diskError(path, error);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/** Returns values other than file system errors unchanged. */
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

/** Throws a HubError `hub-no-space` if the bytes do not fit. */
async function requireSpace(folder: string, needed: number): Promise<void> {
  const { bavail, bsize, blocks } = await statfs(folder);
  const free = bavail * bsize;
  if (blocks === 0 || needed <= free) return;
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  throw new HubError(
    "hub-no-space",
    `${folder}: the download needs ${megabytes(needed)}, and the disk has ${megabytes(free)} free; free some ` +
      "space, or set HF_HUB_CACHE to another disk",
    { folder, needed, free },
  );
}

function checksumError(what: string, checksum: string): HubError {
  return new HubError(
    "hub-checksum",
    `${what}: the downloaded bytes do not match the Hub's checksum ${checksum} and were discarded. Try again; if it ` +
      "happens again, the file on the server is damaged, or a proxy changes it",
    { what, checksum },
  );
}

/** The error for a disk that reported success for bytes that it did not keep. */
function notKept(path: string, written: number, kept = 0): HubError {
  return new HubError(
    "hub-disk",
    `${path}: the disk has kept ${kept} of the ${written} bytes that were written to it; check the disk, or set ` +
      "HF_HUB_CACHE to another one",
    { path, written, kept },
  );
}
