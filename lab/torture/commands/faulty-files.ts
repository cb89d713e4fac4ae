/**
 * A file system on a bad disk. It replaces the functions of node:fs/promises in this process, as mortal-files.ts does:
 *   slow    every call that changes a file takes some milliseconds more, each another number of them
 *   full    of the bytes that are written so many fit; the write that exceeds them leaves its first part, and it and
 *           every later one fails with ENOSPC, while files can still be removed and renamed
 *   lying   a write reports success and keeps a part of its bytes only, or none, as if the power had failed after the
 *           rename that follows and before the bytes, which the disk had put off; what comes later is sound
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { createRng, type Rng } from "early-exits/tensor";

export type Fault =
  | { readonly kind: "none" }
  | { readonly kind: "slow"; readonly seed: number }
  | { readonly kind: "full"; readonly room: number }
  /** Of all writes, the one with this index. */
  | { readonly kind: "lying"; readonly write: number; readonly keeps: number };

interface FaultyFiles {
  /** From here on the disk has this fault. */
  set(fault: Fault): void;
  /** Bytes written and writes made since `set`. */
  readonly written: { readonly bytes: number; readonly writes: number };
  restore(): void;
}

type Call = (...args: unknown[]) => Promise<unknown>;

const WRITING = ["writeFile", "appendFile"] as const;
const CHANGING = ["rename", "rm", "mkdir", "unlink", "symlink", "link", "truncate"] as const;

/** Replaces the functions until `restore` is called. */
export function faultyFiles(): FaultyFiles {
  const real = { ...fs };
  const target = fs as unknown as Record<string, Call>;
  const disk = new Disk();
  for (const name of WRITING) {
    const call = real[name] as Call;
    target[name] = (path, data, ...rest) => disk.write(data, (bytes) => call(path, bytes, ...rest));
  }
  for (const name of CHANGING) {
    const call = real[name] as Call;
    target[name] = async (...args) => {
      await disk.pause();
      return call(...args);
    };
  }
  target["open"] = async (...args) => {
    await disk.pause();
    const handle = (await (real.open as unknown as Call)(...args)) as Record<string, Call>;
    for (const name of [...WRITING, "write"]) {
      const call = handle[name]!.bind(handle);
      handle[name] = (data, ...rest) => disk.write(data, (bytes) => call(bytes, ...rest));
    }
    return handle;
  };
  syncBuiltinESMExports();
  return {
    set: (fault) => {
      disk.set(fault);
    },
    get written() {
      return disk.written;
    },
    restore() {
      Object.assign(target, real);
      syncBuiltinESMExports();
    },
  };
}

class Disk {
  #fault: Fault = { kind: "none" };
  #rng: Rng = createRng(0);
  #bytes = 0;
  #writes = 0;

  get written(): { readonly bytes: number; readonly writes: number } {
    return { bytes: this.#bytes, writes: this.#writes };
  }

  set(fault: Fault): void {
    this.#fault = fault;
    this.#bytes = 0;
    this.#writes = 0;
    if (fault.kind === "slow") this.#rng = createRng(fault.seed);
  }

  async pause(): Promise<void> {
    if (this.#fault.kind !== "slow") return;
    const milliseconds = 12 * this.#rng.uniform() ** 4; // most calls are fast, some are not
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  async write(data: unknown, call: (bytes: unknown) => Promise<unknown>): Promise<unknown> {
    await this.pause();
    if (typeof data !== "string" && !(data instanceof Uint8Array)) return call(data);
    const fault = this.#fault;
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const before = this.#bytes;
    const index = this.#writes++;
    this.#bytes += bytes.length;
    if (fault.kind === "full" && this.#bytes > fault.room) {
      if (before < fault.room) await call(bytes.subarray(0, fault.room - before));
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), {
        code: "ENOSPC",
        errno: -28,
        syscall: "write",
      });
    }
    if (fault.kind === "lying" && index === fault.write) {
      return call(bytes.subarray(0, Math.floor(fault.keeps * bytes.length)));
    }
    return call(data);
  }
}
