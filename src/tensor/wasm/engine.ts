/**
 * What the kernel families of the device share: the compiled kernels, the memory, and the small objects that stand for
 * memory outside. A `WasmStorage` is an address and a length. Every tensor is followed by 64 bytes of its own, which
 * kernels may read, and whose contents never matter: vectors run past ragged ends. `share` is how a kernel runs that
 * threads may share (threads.ts); without threads it is a plain call.
 */
import { DeviceError } from "../../errors.js";
import type { CacheStorage, PackedStorage, Storage, WeightDtype } from "../device.js";
import type { KernelExports } from "./kernels/index.js";
import type { WasmMemory } from "./memory.js";
import type { SharedKernel, Threads } from "./threads.js";

const SLACK = 64;

export class WasmStorage implements Storage {
  constructor(
    readonly engine: Engine,
    readonly length: number,
    /** 0 once freed. */ public address: number,
  ) {}
}

/** W [rows, columns] in panels of sixteen rows; int8 has its scales after the panels. */
export class WasmPacked implements PackedStorage {
  constructor(
    readonly engine: Engine,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: WeightDtype,
    readonly bytes: number,
    readonly scalesAt: number,
    /** 0 once freed. */ public address: number,
  ) {}
}

/** Keys and values of all heads, one head after another, see attention.as.ts. */
export class WasmCache implements CacheStorage {
  constructor(
    readonly engine: Engine,
    readonly kvHeads: number,
    readonly headDim: number,
    readonly capacity: number,
    /** 0 once freed. */ public keys: number,
    public values: number,
  ) {}
}

export class Engine {
  readonly memory: WasmMemory;
  readonly wasm: KernelExports;
  readonly #threads: Threads | undefined;
  #open = true;
  #work = 0;
  #workBytes = 0;
  #workStride = 0;
  #indices = 0;
  #indicesBytes = 0;

  /** `wasm` has its scratch already. */
  constructor(memory: WasmMemory, wasm: KernelExports, threads?: Threads) {
    this.memory = memory;
    this.wasm = wasm;
    this.#threads = threads;
  }

  /** New storage, not cleared. */
  allocate(length: number): WasmStorage {
    this.#check();
    return new WasmStorage(this, length, this.memory.allocate(4 * length + SLACK));
  }

  free(storage: Storage): void {
    const own = this.own(storage);
    this.memory.free(own.address, 4 * own.length + SLACK);
    own.address = 0;
  }

  /** Address of a tensor of this device. */
  at(storage: Storage): number {
    return this.own(storage).address;
  }

  own(storage: Storage): WasmStorage {
    if (!(storage instanceof WasmStorage) || storage.engine !== this) throw foreign("a tensor");
    if (storage.address === 0) throw freed("storage");
    this.#check();
    return storage;
  }

  packed(storage: PackedStorage): WasmPacked {
    if (!(storage instanceof WasmPacked) || storage.engine !== this) throw foreign("a packed matrix");
    if (storage.address === 0) throw freed("packed matrix");
    this.#check();
    return storage;
  }

  cache(storage: CacheStorage): WasmCache {
    if (!(storage instanceof WasmCache) || storage.engine !== this) throw foreign("a cache");
    if (storage.keys === 0) throw freed("cache");
    this.#check();
    return storage;
  }

  /**
   * Runs a kernel. `given` are its arguments, the last two its range, 0 and the number of items; `us` is an estimate of
   * its microseconds on one thread, `least` the fewest items worth a call of their own. (The range is in the array
   * because `run(...given, 0, items)` takes V8 a hundred nanoseconds, `run(...given)` twenty: at hidden size 128 a
   * token makes eighty such calls.)
   */
  share(kernel: SharedKernel, given: number[], us: number, least = 1): void {
    const run: (...given: number[]) => void = this.wasm[kernel];
    if (this.#threads === undefined) run(...given);
    else this.#threads.run(kernel, given, us, this.#workStride, least);
  }

  /** Working memory of one kernel call: at least `bytes` for every thread, until the next call of this. */
  work(bytes: number): number {
    if (bytes > this.#workStride) {
      if (this.#workBytes > 0) this.memory.free(this.#work, this.#workBytes);
      this.#workBytes = this.#workStride = 0; // if the allocation throws, there is no working memory
      const stride = 64 * Math.ceil((bytes * 1.25) / 64);
      this.#work = this.memory.allocate(stride * (this.#threads?.count ?? 1));
      this.#workStride = stride;
      this.#workBytes = stride * (this.#threads?.count ?? 1);
    }
    return this.#work;
  }

  /**
   * Integers in memory (token ids, positions, targets, axes), until the next call of this. `spare` more are left free
   * after them.
   */
  indices(values: ArrayLike<number>, spare = 0): number {
    const bytes = 4 * (values.length + spare) + SLACK;
    if (bytes > this.#indicesBytes) {
      if (this.#indicesBytes > 0) this.memory.free(this.#indices, this.#indicesBytes);
      this.#indicesBytes = 0;
      this.#indices = this.memory.allocate(2 * bytes);
      this.#indicesBytes = 2 * bytes;
    }
    const { i32 } = this.memory;
    for (let i = 0, at = this.#indices / 4; i < values.length; i++, at++) i32[at] = values[i]!;
    return this.#indices;
  }

  /** Afterwards every use throws; workers end, the memory itself goes with the last reference to it. */
  async dispose(): Promise<void> {
    this.#open = false;
    await this.#threads?.stop();
  }

  /** Throws where no use can succeed any more. */
  #check(): void {
    if (!this.#open) throw disposed();
    this.#threads?.check();
  }
}

function foreign(what: string): DeviceError {
  return new DeviceError(
    "device-mismatch",
    `wasm: ${what} of another device was given to this one; read it there and upload it here`,
  );
}

function freed(what: string): DeviceError {
  return new DeviceError("storage-freed", `wasm: a ${what} was used after it was freed`);
}

function disposed(): DeviceError {
  return new DeviceError("device-disposed", "wasm: the device was used after dispose(); create a new one");
}
