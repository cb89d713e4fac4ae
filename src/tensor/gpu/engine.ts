/**
 * Storage and order. Kernels are dispatched synchronously (device.ts), but gpu.js compiles and submits WebGPU kernels
 * asynchronously. So a storage gets its handle later: dispatches, releases and reads wait in one queue, in the order of
 * the calls. An error in the queue stops the device; every later read reports it.
 */
import { DeviceError } from "../../errors.js";
import type { Storage } from "../device.js";
import { deviceDisposed, deviceMixed, storageFreed } from "../device-errors.js";
import type { GpuJs, Overwrite } from "./gpujs.js";
import type { Handle } from "./gpujs-module.js";
import { type KernelSource, vectorKernel } from "./kernel-source.js";

/** x with elements [begin, begin + length) replaced by fresh[from ..]. */
const overwrite = vectorKernel(
  "overwrite",
  "array x fresh, integer begin from length",
  `
  let y = x[COLUMN];
  if (COLUMN >= begin && COLUMN < begin + length) {
    y = fresh[COLUMN - begin + from];
  }
  return y;
`,
);

export class GpuStorage implements Storage {
  /** Undefined until its turn, and without elements. */
  handle: Handle | undefined;
  freed = false;
  constructor(
    readonly engine: Engine,
    readonly length: number,
  ) {}
}

/** Short uploads that every block repeats (positions, ids): this many, of at most this length. */
const REMEMBERED = { count: 8, length: 1024 } as const;
/** Largest exact integers in float32, in which some indices are computed. */
const EXACT = 2 ** 24;

export class Engine {
  readonly #gpu: GpuJs;
  #tail: Promise<void> = Promise.resolve();
  #failure: DeviceError | undefined;
  #disposed = false;
  #made: Set<GpuStorage> | undefined;
  readonly #remembered = new Map<string, GpuStorage>();
  /** Stands for arrays without elements, and arguments left out. */
  readonly nothing: GpuStorage;

  constructor(gpu: GpuJs) {
    this.#gpu = gpu;
    this.nothing = this.upload([0]);
  }

  get maxLength(): number {
    return Math.floor(this.#gpu.parts.maxBytes / 4);
  }

  /** Nothing more runs, and reads reject. */
  fail(error: DeviceError): void {
    if (!this.#disposed) this.#failure ??= error;
  }

  upload(data: ArrayLike<number>): GpuStorage {
    const copy = Float32Array.from(data); // at once: the caller may change it
    return this.#create(copy.length, () => this.#gpu.upload(copy));
  }

  /** The caller gives the data up; outside any scope. */
  adopt(data: Float32Array): GpuStorage {
    return this.#outside(() => this.#create(data.length, () => this.#gpu.upload(data)));
  }

  zeros(length: number): GpuStorage {
    return this.#create(length, () => this.#gpu.zeros(length));
  }

  /**
   * Integers for use inside a scope; recent uploads are used again. Never free the result: the scope or a later call
   * does.
   */
  integers(values: ArrayLike<number>): GpuStorage {
    if (values.length > REMEMBERED.length) return this.upload(values);
    const key = Array.prototype.join.call(values);
    const known = this.#remembered.get(key);
    this.#remembered.delete(key);
    const storage = known ?? this.#outside(() => this.upload(values));
    this.#remembered.set(key, storage);
    for (const [oldest, one] of this.#remembered) {
      if (this.#remembered.size <= REMEMBERED.count) break;
      this.#remembered.delete(oldest);
      this.free(one);
    }
    return storage;
  }

  vector<P extends string>(
    source: KernelSource<P>,
    length: number,
    args: Readonly<Record<P, Storage | number>>,
  ): GpuStorage {
    return this.matrix(source, 1, length, args);
  }

  matrix<P extends string>(
    source: KernelSource<P>,
    rows: number,
    columns: number,
    args: Readonly<Record<P, Storage | number>>,
  ): GpuStorage {
    const given = Object.keys(source.parameters).map((name) => {
      const value = args[name as P];
      if (typeof value === "number") return value;
      return value.length === 0 ? this.nothing : this.at(value);
    });
    return this.#create(columns * rows, () =>
      this.#gpu.run(
        source,
        columns,
        rows,
        given.map((value) => (typeof value === "number" ? value : value.handle!)),
      ),
    );
  }

  /** In place if the backend can, by a changed copy otherwise. */
  overwrite({ target, begin, source, from, length }: Overwrite<GpuStorage>): void {
    if (length === 0) return;
    void this.#enqueue(async () => {
      const to = target.handle!;
      const fresh = source.handle!;
      if (this.#gpu.overwrite({ target: to, begin, source: fresh, from, length })) return;
      target.handle = await this.#gpu.run(overwrite, target.length, 1, [to, fresh, begin, from, length]);
      this.#gpu.delete(to);
    });
  }

  /** Moves contents into `target`; `source` counts as freed. */
  replace(target: GpuStorage, source: GpuStorage): void {
    source.freed = true;
    this.#made?.delete(source);
    void this.#enqueue(() => {
      if (target.handle !== undefined) this.#gpu.delete(target.handle);
      target.handle = source.handle;
    });
  }

  /** Runs `body`, then frees what it made, except its result. */
  scope<T extends GpuStorage | Readonly<Record<string, GpuStorage>> | undefined>(body: () => T): T {
    const outer = this.#made;
    const made = new Set<GpuStorage>();
    this.#made = made;
    try {
      const result = body();
      const kept = result instanceof GpuStorage ? [result] : Object.values(result ?? {});
      for (const storage of kept) {
        if (made.delete(storage)) outer?.add(storage);
      }
      return result;
    } finally {
      this.#made = outer;
      for (const storage of made) this.free(storage);
    }
  }

  async read(storage: GpuStorage): Promise<Float32Array> {
    if (storage.length === 0) return new Float32Array(0);
    let reading: Promise<Float32Array> | undefined;
    // The queue continues meanwhile. Failures are handled here: they must not be unhandled rejections.
    const started = this.#enqueue(() => {
      reading = this.#gpu.read(storage.handle!, storage.length);
      reading.catch(() => undefined);
    });
    await started;
    try {
      if (reading !== undefined) return await reading;
    } catch (cause) {
      this.fail(failure(cause));
    }
    throw this.#failure ?? deviceDisposed("gpu");
  }

  free(storage: GpuStorage): void {
    if (storage.freed) return;
    storage.freed = true;
    void this.#enqueue(() => {
      if (storage.handle !== undefined) this.#gpu.delete(storage.handle);
      storage.handle = undefined;
    });
  }

  at(storage: Storage): GpuStorage {
    if (this.#disposed) throw deviceDisposed("gpu");
    if (!(storage instanceof GpuStorage) || storage.engine !== this) {
      throw deviceMixed("gpu", "a tensor");
    }
    if (storage.freed) throw storageFreed("gpu", "a tensor");
    return storage;
  }

  /** Throws if indices would not be exact. */
  requireExact(what: string, length: number): void {
    if (length > EXACT) {
      throw new DeviceError(
        "gpu-size",
        `gpu: ${what} of ${length} elements; this kernel computes indices in float32, exact up to ${EXACT}; ` +
          "use smaller batches",
        { length, limit: EXACT },
      );
    }
  }

  /** Throws if dividing a row's number, plus 1/2, would not be exact. */
  requireRows(what: string, rows: number): void {
    this.requireExact(`${what}: twice the rows`, 2 * rows);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    for (const storage of this.#remembered.values()) this.free(storage);
    this.free(this.nothing);
    this.#disposed = true;
    await this.#tail;
    await this.#gpu.dispose();
  }

  #create(length: number, make: () => Handle | Promise<Handle>): GpuStorage {
    if (this.#disposed) throw deviceDisposed("gpu");
    const storage = new GpuStorage(this, length);
    this.#made?.add(storage);
    if (length > 0) void this.#enqueue(async () => void (storage.handle = await make()));
    return storage;
  }

  #enqueue(step: () => void | Promise<void>): Promise<void> {
    const run = async (): Promise<void> => {
      if (this.#failure !== undefined) return;
      try {
        await step();
      } catch (cause) {
        this.fail(failure(cause));
      }
    };
    return (this.#tail = this.#tail.then(run));
  }

  #outside<T>(body: () => T): T {
    const made = this.#made;
    this.#made = undefined;
    try {
      return body();
    } finally {
      this.#made = made;
    }
  }
}

function failure(cause: unknown): DeviceError {
  if (cause instanceof DeviceError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new DeviceError(
    "gpu-kernel",
    `gpu: a kernel failed (${reason}); results are missing, create a new device`,
    { reason },
    { cause },
  );
}
