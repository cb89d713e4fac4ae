/**
 * The parts that kernel families share: compiled kernels, memory, and objects that stand for memory. Every tensor is
 * followed by 64 bytes of its own that kernels may read and whose contents never matter: vectors run past ragged ends.
 *
 * Kernels take their arguments by name (callByName of the generated code). An object costs what an array would, and the
 * generated function reads its fields faster than JavaScript spreads an array: decoding makes eighty such calls a
 * token.
 *
 * A kernel that throws, because there is no memory left, leaves the device as it was (`undoable`).
 */
import { deviceDisposed, deviceMixed, storageFreed } from "../device-errors.js";
import type { CacheDtype, CacheStorage, PackedDtype, PackedStorage, Storage } from "../device.js";
import { CACHE_BF16, CACHE_F32, CACHE_INT8 } from "./kernels/constants.js";
import type { KernelArguments, NamedKernels } from "./kernels/kernels.generated.js";
import type { WasmMemory } from "./memory.js";
import { type RangedKernel, type SharedKernel, Threads, type Work } from "./threads.js";

export const SLACK = 64;

/** Rough speed of one thread, for sharing: elements of rows per microsecond. */
const PER_US = {
  softmax: 1000,
  softmaxBackward: 2000,
  logSoftmax: 1000,
  logSoftmaxBackward: 1000,
  rowStats: 700,
  rowArgmax: 4000,
  norm: 2000,
  crossEntropy: 1000,
  crossEntropyBackward: 700,
  kl: 300,
  klBackward: 300,
  swiglu: 600,
  swigluBackward: 300,
} as const satisfies Partial<Record<SharedKernel, number>>;

export class WasmStorage implements Storage {
  constructor(
    readonly engine: Engine,
    readonly length: number,
    /** 0 once freed. */ public address: number,
  ) {}
}

/** In panels of sixteen rows. */
export class WasmPacked implements PackedStorage {
  constructor(
    readonly engine: Engine,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: PackedDtype,
    readonly bytes: number,
    /** 0 once freed. */ public address: number,
  ) {}
}

export const CACHE_KINDS = { float32: CACHE_F32, bfloat16: CACHE_BF16, int8: CACHE_INT8 } as const satisfies Record<
  CacheDtype,
  number
>;

/** In the layout of kernels/attention/cache.as.ts. */
export class WasmCache implements CacheStorage {
  constructor(
    readonly engine: Engine,
    readonly kvHeads: number,
    readonly headDim: number,
    readonly capacity: number,
    readonly dtype: CacheDtype,
    /** 0 once freed. */ public keys: number,
    public values: number,
    readonly keyBytes: number,
    readonly valueBytes: number,
  ) {}

  get bytes(): number {
    return this.keyBytes + this.valueBytes;
  }
}

/** Memory that is replaced by a larger one, never copied. */
class Room {
  address = 0;
  bytes = 0;

  constructor(readonly memory: WasmMemory) {}

  grow(bytes: number): void {
    if (this.bytes > 0) this.memory.free(this.address, this.bytes);
    this.bytes = 0; // in case the allocation throws
    this.address = this.memory.allocate(bytes);
    this.bytes = bytes;
  }
}

function withReserve(bytes: number): number {
  return 64 * Math.ceil((bytes * 1.25) / 64);
}

type Run = (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown, f: unknown, g: unknown, h: unknown) => unknown;

export class Engine {
  readonly memory: WasmMemory;
  readonly wasm: NamedKernels;
  readonly #threads: Threads | undefined;
  #open = true;
  readonly #work: Room;
  #workStride = 0;
  readonly #inputs: Room;
  readonly #indices: Room;
  /** The first `#count` belong to the running kernel, the others to earlier ones. */
  readonly #made: WasmStorage[] = [];
  #count = 0;

  /** `wasm` must have its scratch memory. */
  constructor(memory: WasmMemory, wasm: NamedKernels, threads?: Threads) {
    this.memory = memory;
    this.wasm = wasm;
    this.#threads = threads;
    this.#work = new Room(memory);
    this.#inputs = new Room(memory);
    this.#indices = new Room(memory);
  }

  get threads(): number {
    return this.#threads?.count ?? 1;
  }

  allocate(length: number): WasmStorage {
    this.#check();
    const storage = new WasmStorage(this, length, this.memory.allocate(4 * length + SLACK));
    this.#made[this.#count++] = storage;
    return storage;
  }

  zeros(length: number): WasmStorage {
    const storage = this.allocate(length);
    this.wasm.fillZeros(storage.address, length);
    return storage;
  }

  /**
   * The same functions, of at most eight parameters; if one throws, its allocations are freed. This stands between
   * decoding and every kernel: emptying a list here, or a `finally`, cost a small model a tenth of its speed.
   */
  undoable<T extends object>(functions: T): T {
    const wrapped = Object.entries(functions as Record<string, Run>).map(([name, run]) => {
      // Spreading an array would cost more than some kernels.
      const undone: Run = (a, b, c, d, e, f, g, h) => {
        this.#count = 0;
        try {
          return run(a, b, c, d, e, f, g, h);
        } catch (error) {
          this.#undo();
          throw error;
        }
      };
      return [name, undone] as const;
    });
    return Object.fromEntries(wrapped) as T;
  }

  #undo(): void {
    for (let i = 0; i < this.#count; i++) {
      const storage = this.#made[i]!;
      if (storage.address !== 0) this.free(storage);
    }
    this.#count = 0;
  }

  free(storage: Storage): void {
    const own = this.own(storage);
    this.memory.free(own.address, 4 * own.length + SLACK);
    own.address = 0;
  }

  at(storage: Storage): number {
    return this.own(storage).address;
  }

  /** 0 for none. */
  atOrNone(storage: Storage | undefined): number {
    return storage === undefined ? 0 : this.own(storage).address;
  }

  own(storage: Storage): WasmStorage {
    if (!(storage instanceof WasmStorage) || storage.engine !== this) throw deviceMixed("wasm", "a tensor");
    if (storage.address === 0) throw storageFreed("wasm", "a tensor");
    this.#check();
    return storage;
  }

  packed(storage: PackedStorage): WasmPacked {
    if (!(storage instanceof WasmPacked) || storage.engine !== this) {
      throw deviceMixed("wasm", "a weight matrix", "load the model on this one");
    }
    if (storage.address === 0) throw storageFreed("wasm", "a weight matrix");
    this.#check();
    return storage;
  }

  cache(storage: CacheStorage): WasmCache {
    if (!(storage instanceof WasmCache) || storage.engine !== this) {
      throw deviceMixed("wasm", "a cache", "create one on this device");
    }
    if (storage.keys === 0) throw storageFreed("wasm", "a cache");
    this.#check();
    return storage;
  }

  /** Runs a kernel over its items, on all threads (threads.ts) if there are several and the work is worth it. */
  share<K extends SharedKernel>(kernel: K, given: KernelArguments[K], work: Work): void {
    if (this.#threads === undefined) (this.wasm[kernel] as RangedKernel)(given, 0, work.items);
    else this.#threads.run(kernel, [given], work, this.#workStride);
  }

  /** As `share`, for a kernel over `rows` of `width` elements. */
  shareRows<K extends keyof typeof PER_US>(kernel: K, given: KernelArguments[K], rows: number, width: number): void {
    this.share(kernel, given, { items: rows, us: (rows * width) / PER_US[kernel] });
  }

  /**
   * As `share`, for calls with as many items each; `work` is that of all. All together may be worth sharing where one
   * is too short.
   */
  shareAll<K extends SharedKernel>(kernel: K, calls: readonly KernelArguments[K][], work: Omit<Work, "least">): void {
    if (this.#threads === undefined) {
      for (const given of calls) (this.wasm[kernel] as RangedKernel)(given, 0, work.items / calls.length);
      return;
    }
    const most = Threads.mostCalls(kernel);
    const items = work.items / calls.length;
    const us = work.us / calls.length;
    for (let first = 0; first < calls.length; first += most) {
      const part = calls.length <= most ? calls : calls.slice(first, first + most);
      this.#threads.run(kernel, part, { items: items * part.length, us: us * part.length }, this.#workStride);
    }
  }

  /** At least `bytes` for every thread, valid until the next call. */
  work(bytes: number): number {
    if (bytes > this.#workStride) {
      this.#workStride = 0; // in case the allocation throws
      const stride = withReserve(bytes);
      this.#work.grow(stride * this.threads);
      this.#workStride = stride;
    }
    return this.#work.address;
  }

  /** At least `bytes`, read by all threads, valid until the next call. */
  inputs(bytes: number): number {
    if (bytes > this.#inputs.bytes) this.#inputs.grow(withReserve(bytes));
    return this.#inputs.address;
  }

  /**
   * Stores integers (token ids, positions, targets, axes), with room for `spare` more, and returns their address, valid
   * until the next call.
   */
  indices(values: ArrayLike<number>, spare = 0): number {
    const bytes = 4 * (values.length + spare) + SLACK;
    if (bytes > this.#indices.bytes) this.#indices.grow(2 * bytes);
    const { address } = this.#indices;
    const { i32 } = this.memory;
    for (let i = 0, at = address / 4; i < values.length; i++, at++) i32[at] = values[i]!;
    return address;
  }

  async dispose(): Promise<void> {
    this.#open = false;
    await this.#threads?.stop();
  }

  #check(): void {
    if (!this.#open) throw deviceDisposed("wasm");
    this.#threads?.check();
  }
}
