/**
 * The CPU device: kernels in WebAssembly SIMD, all tensors in one linear memory. k rows at once have the bits of one by
 * one, in both builds and on any number of threads.
 *
 * The relaxed build is preferred if `WebAssembly.validate` accepts it and this processor fuses multiplication and
 * addition, so that each build has the same bits everywhere. Builds are base64 text, imported when needed, so a page
 * loads one. Node 20 hides relaxed SIMD behind a flag that the host turns on. The binaries import a shared memory;
 * without SharedArrayBuffer one byte is changed to import a private one.
 */
import { DeviceError, requireInteger } from "../../errors.js";
import type { CacheDtype, Device, PackedDtype, PackedStorage, StoredRows } from "../device.js";
import type { WasmBuild, WasmOptions } from "../device-options.js";
import { type StoredDtype, storedRowBytes } from "../formats/stored.js";
import type { Host } from "../host.js";
import { GROUP, groupsOf, type IntegerRows } from "../integer-rows.js";
import { packedBytes } from "../packed-bytes.js";
import { attentionKernels } from "./attention.js";
import { blockKernel } from "./block.js";
import { elementwiseKernels } from "./elementwise.js";
import { CACHE_KINDS, Engine, WasmCache, WasmPacked } from "./engine.js";
import { BF16, DOT, EXACT, F16, F32, Q4_0, Q4_1, Q4_K, Q5_0, Q6_K, Q8_0, SCRATCH_BYTES } from "./kernels/constants.js";
import { chooseWay, fuses } from "./kernels/choose-way.js";
import { lossKernels } from "./losses.js";
import { LIMIT, WasmMemory } from "./memory.js";
import { movementKernels } from "./movement.js";
import { ACROSS, createLinear, productKernels, rowsAtOnce } from "./products.js";
import { rowKernels } from "./rows.js";
import { screeningKernels } from "./screening.js";
import { Threads } from "./threads.js";
import {
  callByName,
  type CompiledKernels,
  type KernelExports,
  type NamedKernels,
} from "./kernels/kernels.generated.js";

const MAX_THREADS = 64;
/** Less holds no model, and hardly the kernels' scratch memory. */
const LEAST_LIMIT = 2 ** 24;

interface WasmDeviceOptions extends WasmOptions {
  readonly host: Host;
}

export interface WasmDevice extends Device {
  /** The WebAssembly memory never shrinks. */
  memory(): { readonly used: number; readonly size: number };
}

/**
 * Throws a DeviceError: "wasm-simd-missing", "wasm-relaxed-missing" or "wasm-threads-missing" if a wish cannot be met,
 * "wasm-worker-lost" if a worker fails to start.
 */
export async function createWasmDevice({
  threads = 1,
  build: wish = "auto",
  memoryLimit = LIMIT,
  host,
}: WasmDeviceOptions): Promise<WasmDevice> {
  requireInteger("createDevice: threads", threads, 1, MAX_THREADS);
  requireInteger("createDevice: memoryLimit", memoryLimit, LEAST_LIMIT, LIMIT);
  const spawnWorker = host.spawnWorker?.bind(host);
  const shared = threads > 1;
  if (shared && (spawnWorker === undefined || typeof SharedArrayBuffer === "undefined")) {
    const reason =
      spawnWorker === undefined
        ? (host.noWorkersBecause ?? "this host starts no workers")
        : "there is no SharedArrayBuffer";
    throw new DeviceError(
      "wasm-threads-missing",
      `wasm: ${threads} threads were requested, but ${reason}; or use threads: 1`,
      { threads },
    );
  }
  const { build, name, module } = await compileKernels(wish, { shared }, host);
  const memory = new WasmMemory({ shared, limit: memoryLimit });
  const wasm = await instantiateKernels(module, memory.memory);
  wasm.setScratch(memory.allocate(SCRATCH_BYTES));
  if (build === "relaxed" && wish === "auto" && !fuses(wasm, memory)) {
    return createWasmDevice({ threads, build: "portable", memoryLimit, host });
  }
  const way = build === "portable" ? EXACT : chooseWay(wasm, memory, () => host.now());
  wasm.setWay(way);
  const engine = new Engine(
    memory,
    wasm,
    shared
      ? await Threads.start(threads, { module, way }, memory, wasm, {
          now: () => host.now(),
          spawnWorker: spawnWorker!,
        })
      : undefined,
  );

  const linear = createLinear(engine, () => host.now());

  return {
    backend: "wasm",
    info: {
      description:
        `wasm: WebAssembly SIMD (${build === "relaxed" ? "fused multiply-add" : "portable"}), ${threads} ` +
        `thread${shared ? "s" : ""}`,
      threads,
      batchIndependent: true,
      kernelBuild: name,
      byteDots: way === DOT,
      memoryLimit,
    },
    kernels: engine.undoable({
      ...productKernels(engine, linear),
      ...elementwiseKernels(engine),
      ...movementKernels(engine),
      ...rowKernels(engine),
      ...lossKernels(engine),
      ...attentionKernels(engine),
    }),
    ...engine.undoable({ block: blockKernel(engine, linear) }),
    screening: engine.undoable(screeningKernels(engine, way !== EXACT)),

    upload(data) {
      const storage = engine.allocate(data.length);
      memory.f32.set(data, storage.address / 4);
      return storage;
    },
    read: (storage) => Promise.resolve(copyOut(memory, engine.at(storage), storage.length)),
    write: (storage, data) => memory.f32.set(data, engine.at(storage) / 4),
    free: (storage) => engine.free(storage),

    createPacked: (rows, columns, dtype) => createPacked(engine, rows, columns, dtype),
    packRows: (packed, firstRow, data) => packRows(engine, engine.packed(packed), firstRow, data),
    packIntegers: (packed, firstRow, rows) => packIntegers(engine, engine.packed(packed), firstRow, rows),
    packStored: (packed, firstRow, rows) => packStored(engine, engine.packed(packed), firstRow, rows),
    readPacked: (packed) => Promise.resolve(unpackAll(engine, engine.packed(packed))),
    freePacked(packed) {
      const matrix = engine.packed(packed);
      memory.free(matrix.address, matrix.bytes);
      matrix.address = 0;
    },

    createCache(kvHeads, headDim, capacity, dtype = "float32") {
      requireAddressable(kvHeads, headDim, capacity, dtype);
      const keys = kvHeads * wasm.keyBytes(capacity, headDim, CACHE_KINDS[dtype]);
      const values = kvHeads * wasm.valueBytes(capacity, headDim, CACHE_KINDS[dtype]);
      const address = memory.allocate(keys + values, true);
      // Kernels compute with lanes of positions not yet written, and ignore the results.
      wasm.fillZeros(address, (keys + values) / 4);
      return new WasmCache(engine, kvHeads, headDim, capacity, dtype, address, address + keys, keys, values);
    },
    copyCache(from, to, positions) {
      const source = engine.cache(from);
      const target = engine.cache(to);
      // Whole blocks: what lies beyond `positions` will be written again.
      const copy = (part: "keys" | "values", bytes: number): void => {
        memory.f32.copyWithin(target[part] / 4, source[part] / 4, (source[part] + bytes) / 4);
      };
      const kind = CACHE_KINDS[source.dtype];
      copy("keys", source.kvHeads * wasm.keyBytes(positions, source.headDim, kind));
      copy("values", source.kvHeads * wasm.valueBytes(positions, source.headDim, kind));
    },
    readCache(cache, begin, end) {
      const { keys, values, dtype, headDim, kvHeads } = engine.cache(cache);
      const length = (end - begin) * kvHeads * headDim;
      const k = engine.allocate(length);
      const v = engine.allocate(length);
      wasm.cacheRead({
        keys,
        values,
        kind: CACHE_KINDS[dtype],
        d: headDim,
        groups: kvHeads,
        begin,
        end,
        toKeys: k.address,
        toValues: v.address,
        work: engine.work(wasm.roomBytes(headDim)),
      });
      const result = { keys: copyOut(memory, k.address, length), values: copyOut(memory, v.address, length) };
      engine.free(k);
      engine.free(v);
      return Promise.resolve(result);
    },
    freeCache(cache) {
      const own = engine.cache(cache);
      memory.free(own.keys, own.bytes, true);
      own.keys = own.values = 0;
    },

    memory: () => ({ used: memory.used, size: memory.size }),
    dispose: () => engine.dispose(),
  };
}

/** Kernels compute sizes in 32 bits; too large a cache must not come out small. */
function requireAddressable(kvHeads: number, headDim: number, capacity: number, dtype: CacheDtype): void {
  const perHead = { float32: 4 * headDim, bfloat16: 2 * headDim, int8: headDim + 4 }[dtype];
  const bytes = 2 * kvHeads * perHead * capacity;
  if (bytes < LIMIT) return;
  throw new DeviceError(
    "wasm-memory-full",
    `wasm: a cache of ${capacity} positions takes ${bytes} bytes; WebAssembly memory ends at 4 GiB; ask for at most ` +
      `${Math.floor(LIMIT / (2 * kvHeads * perHead))} positions`,
    { asked: bytes, limit: LIMIT },
  );
}

function copyOut(memory: WasmMemory, address: number, length: number): Float32Array {
  return memory.f32.slice(address / 4, address / 4 + length);
}

function createPacked(engine: Engine, rows: number, columns: number, dtype: PackedDtype): PackedStorage {
  const bytes = packedBytes(rows, columns, dtype);
  const unitBytes = packedBytes(1, columns, dtype);
  const address = engine.memory.allocate(bytes);
  // Padding must be zero: unused rows of the last panels, and the end of a last group.
  const groupsEnd = dtype !== "float32" && dtype !== "bfloat16" && columns % GROUP > 0;
  const dirty = groupsEnd ? 0 : Math.max(0, bytes - unitBytes);
  engine.wasm.fillZeros(address + dirty, (bytes - dirty) / 4);
  return new WasmPacked(engine, rows, columns, dtype, bytes, address);
}

function packRows(engine: Engine, packed: WasmPacked, first: number, data: Float32Array): void {
  const { columns: k } = packed;
  const step = rowsAtOnce(k); // a megabyte at a time
  for (let row = 0; row * k < data.length; row += step) {
    const { buffer, byteOffset, byteLength } = data.subarray(row * k, (row + step) * k);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    packStored(engine, packed, first + row, { bytes, type: "F32", rounds: true });
  }
}

function packIntegers(engine: Engine, packed: WasmPacked, firstRow: number, rows: IntegerRows): void {
  const { address, columns: k, dtype } = packed;
  const groups = groupsOf(k);
  const count = k === 0 ? 0 : rows.integers.length / k;
  const step = rowsAtOnce(k);
  const work = engine.work(step * (k + 8 * groups) + 64);
  const d = work + 4 * Math.ceil((step * k) / 4);
  const m = d + 4 * step * groups;
  for (let row = 0; row < count; row += step) {
    const some = Math.min(step, count - row);
    engine.memory.i8.set(rows.integers.subarray(row * k, (row + some) * k), work);
    engine.memory.f32.set(rows.scales.subarray(row * groups, (row + some) * groups), d / 4);
    engine.memory.f32.set(rows.minimums.subarray(row * groups, (row + some) * groups), m / 4);
    engine.wasm.packIntegers({
      kind: ACROSS[dtype],
      w: address,
      k,
      first: firstRow + row,
      count: some,
      from: work,
      d,
      m,
    });
  }
}

const TYPES: Partial<Record<StoredDtype, number>> = { F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q6_K };
const PACKING_BYTES = 1152;
/** Weights that a thread packs in a microsecond, without loss or rounded. */
const PACKED_PER_US = 1500;
const ROUNDED_PER_US = 300;

function packStored(
  engine: Engine,
  packed: WasmPacked,
  first: number,
  { bytes, type: name, rounds }: StoredRows,
): boolean {
  const { address: w, columns: k, dtype } = packed;
  const type = TYPES[name];
  if (type === undefined) return false;
  const from = engine.inputs(bytes.length);
  new Uint8Array(engine.memory.memory.buffer).set(bytes, from);
  const rowBytes = storedRowBytes(name, k)!;
  const count = bytes.length / rowBytes;
  const work = engine.work(PACKING_BYTES + (rounds ? 64 * k + 32 : 0));
  const given = { kind: ACROSS[dtype], w, k, first, count, type, from, rowBytes, rounds: Number(rounds), work };
  const items = Math.ceil(((first % 16) + count) / 16);
  engine.share("packBlocks", given, { items, us: (count * k) / (rounds ? ROUNDED_PER_US : PACKED_PER_US) });
  return true;
}

function unpackAll(engine: Engine, { address, rows, columns: k, dtype }: WasmPacked): Float32Array {
  const out = new Float32Array(rows * k);
  const step = rowsAtOnce(k);
  const work = engine.work(4 * step * k + 64);
  for (let row = 0; row < rows; row += step) {
    const ids = Array.from({ length: Math.min(step, rows - row) }, (_, i) => row + i);
    engine.wasm.unpackRows({
      kind: ACROSS[dtype],
      w: address,
      k,
      ids: engine.indices(ids),
      count: ids.length,
      to: work,
    });
    out.set(engine.memory.f32.subarray(work / 4, work / 4 + ids.length * k), row * k);
  }
  return out;
}

interface LoadedModule {
  readonly build: WasmBuild;
  /** `relaxed-1a2b3c4d`. */
  readonly name: string;
  readonly module: WebAssembly.Module;
}

/**
 * The best build allowed, for a shared memory or not. Throws a DeviceError if SIMD or the requested build is missing.
 */
export async function compileKernels(
  wish: "auto" | WasmBuild,
  { shared }: { readonly shared: boolean },
  host: Host,
): Promise<LoadedModule> {
  if (wish !== "portable") {
    const kernels = (await import("./kernels/relaxed.generated.js")).relaxed;
    const binary = binaryOf(kernels, shared);
    if (!runs(binary)) host.enableRelaxedSimd?.();
    if (runs(binary)) {
      return { build: "relaxed", name: nameOf("relaxed", kernels), module: await WebAssembly.compile(binary) };
    }
  }
  const kernels = (await import("./kernels/portable.generated.js")).portable;
  const binary = binaryOf(kernels, shared);
  if (!runs(binary)) {
    throw new DeviceError(
      "wasm-simd-missing",
      'wasm: this engine has no WebAssembly SIMD; use the "reference" device, or a newer engine',
    );
  }
  if (wish === "relaxed") {
    throw new DeviceError(
      "wasm-relaxed-missing",
      'wasm: this engine has no relaxed SIMD; use build "portable" or "auto"',
    );
  }
  return { build: "portable", name: nameOf("portable", kernels), module: await WebAssembly.compile(binary) };
}

export async function instantiateKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Promise<NamedKernels> {
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  return callByName(instance.exports as unknown as KernelExports);
}

function runs(binary: Uint8Array<ArrayBuffer>): boolean {
  return typeof WebAssembly !== "undefined" && WebAssembly.validate(binary);
}

/** The build and a checksum of its binary (FNV-1a). */
function nameOf(build: WasmBuild, { base64 }: CompiledKernels): string {
  let checksum = 0x811c9dc5;
  for (let i = 0; i < base64.length; i++) checksum = Math.imul(checksum ^ base64.charCodeAt(i), 0x01000193);
  return `${build}-${(checksum >>> 0).toString(16).padStart(8, "0")}`;
}

function binaryOf({ base64, memoryFlagAt }: CompiledKernels, shared: boolean): Uint8Array<ArrayBuffer> {
  const binary = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  // limits flag of the imported memory: 3 = shared with a maximum, 1 = private with a maximum
  if (!shared) binary[memoryFlagAt] = 1;
  return binary;
}
