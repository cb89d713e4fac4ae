/**
 * A partially downloaded blob: `<checksum>.early-exits-<owner>.incomplete` in the folder of the blobs. The owner is one
 * download in one process. Another process takes the file over, by renaming it, only if the owner has released it
 * ("free"), is no longer running, or has not written for ten minutes. Two processes therefore never write to the same
 * file. If both download a blob at the same time, both finish, and the second rename replaces equal bytes.
 *
 * huggingface_hub uses `<checksum>.incomplete` and guards it with flock, which Node does not have. Those files are not
 * touched.
 */
import { createHash, type Hash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { HubError } from "../../errors.js";
import { onDisk } from "./hub-cache.js";

const ABANDONED = 10 * 60_000; // milliseconds, far longer than a stalled connection is tolerated
const FREE = "free";
const HOST = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);

export class PartialBlob {
  #hash: Hash;
  #length = 0;

  private constructor(
    readonly folder: string,
    readonly checksum: string,
    readonly size: number,
    readonly path: string,
    readonly file: FileHandle,
  ) {
    this.#hash = this.#newHash();
  }

  /** Opens the longest partial file without an owner, or a new one. The checksum must be hexadecimal. */
  static async open(folder: string, { checksum, size }: { checksum: string; size: number }): Promise<PartialBlob> {
    return onDisk(folder, async () => {
      await mkdir(folder, { recursive: true });
      const path = partPath(folder, checksum, `${HOST}-${process.pid}-${randomUUID().slice(0, 8)}`);
      await takeOver(folder, checksum, path);
      const part = new PartialBlob(folder, checksum, size, path, await open(path, "a+"));
      await part.#readBack();
      return part;
    });
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await onDisk(this.path, () => this.file.appendFile(bytes));
    this.#hash.update(bytes);
    this.#length += bytes.length;
  }

  /** Discards the contents. */
  async clear(): Promise<void> {
    await onDisk(this.path, () => this.file.truncate(0));
    this.#hash = this.#newHash();
    this.#length = 0;
  }

  /** Whether all bytes have arrived and match the checksum. */
  isWhole(): boolean {
    return this.#length === this.size && this.#hash.copy().digest("hex") === this.checksum;
  }

  /** Renames the file to the name of the blob. Throws a HubError if the disk has not kept what was written. */
  async finish(): Promise<void> {
    await onDisk(this.path, async () => {
      await this.file.sync();
      const { size } = await this.file.stat();
      if (size !== this.size) throw notKept(this.path, this.size, size);
      await this.file.close();
      await rename(this.path, join(this.folder, this.checksum));
    });
  }

  /** Keeps the contents for the next download, in this process or another. */
  async release(): Promise<void> {
    await this.file.close().catch(() => undefined);
    const free = partPath(this.folder, this.checksum, FREE);
    await (this.#length === 0 ? rm(this.path, { force: true }) : rename(this.path, free)).catch(() => undefined);
  }

  /** Throws a HubError `hub-no-space` if the missing bytes do not fit on the disk. */
  async requireSpace(): Promise<void> {
    const { bavail, bsize, blocks } = await statfs(this.folder);
    const [needed, free] = [this.size - this.#length, bavail * bsize];
    if (blocks === 0 || needed <= free) return;
    throw new HubError(
      "hub-no-space",
      `${this.folder}: the download needs ${megabytes(needed)}, and the disk has ${megabytes(free)} free; free some ` +
        "space, or set HF_HUB_CACHE to another disk",
      { folder: this.folder, needed, free },
    );
  }

  async #readBack(): Promise<void> {
    const { size } = await this.file.stat();
    if (size > this.size) return this.clear();
    const buffer = new Uint8Array(Math.min(2 ** 20, size));
    while (this.#length < size) {
      const { bytesRead } = await this.file.read(buffer, 0, buffer.length, this.#length);
      if (bytesRead === 0) return;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#length += bytesRead;
    }
  }

  #newHash(): Hash {
    return this.checksum.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${this.size}\0`);
  }
}

/** Renames the longest partial file without an owner to `path` and removes the others. */
async function takeOver(folder: string, checksum: string, path: string): Promise<void> {
  const orphans = await orphansOf(folder, checksum);
  let taken = false;
  for (const { orphan } of orphans.sort((a, b) => b.size - a.size)) {
    if (taken) await rm(orphan, { force: true });
    else taken = await renameIfThere(orphan, path);
  }
}

async function orphansOf(folder: string, checksum: string): Promise<{ orphan: string; size: number }[]> {
  const orphans: { orphan: string; size: number }[] = [];
  for (const name of await readdir(folder)) {
    const [, owner] = /^[0-9a-f]+\.early-exits-(.*)\.incomplete$/.exec(name) ?? [];
    if (owner === undefined || !name.startsWith(`${checksum}.`)) continue;
    const orphan = join(folder, name);
    const found = await stat(orphan).catch(() => undefined);
    if (found !== undefined && isOrphan(owner, found.mtimeMs)) orphans.push({ orphan, size: found.size });
  }
  return orphans;
}

/** False if another process has taken the file since it was listed. */
async function renameIfThere(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    () => false,
  );
}

function isOrphan(owner: string, lastWrite: number): boolean {
  if (owner === FREE || Date.now() - lastWrite > ABANDONED) return true;
  const [host, pid] = owner.split("-");
  return host === HOST && !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

function partPath(folder: string, checksum: string, owner: string): string {
  return join(folder, `${checksum}.early-exits-${owner}.incomplete`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The error for a disk that reported success for bytes that it did not keep. */
function notKept(path: string, written: number, kept: number): HubError {
  return new HubError(
    "hub-disk",
    `${path}: the disk has kept ${kept} of the ${written} bytes that were written to it; check the disk, or set ` +
      "HF_HUB_CACHE to another one",
    { path, written, kept },
  );
}
