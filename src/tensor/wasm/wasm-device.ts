/**
 * The CPU device: kernels in WebAssembly SIMD, all tensors in one linear memory, JavaScript passing addresses.
 * Computing k rows at once gives the same bits as one by one, in both builds and on any number of threads.
 */
import { DeviceError, requireInteger } from "../../errors.js";
import type { Device, PackedStorage, WeightDtype } from "../device.js";
import type { WasmOptions } from "../device-options.js";
import type { Host } from "../host.js";
import { attentionKernels } from "./attention.js";
import { elementwiseKernels } from "./elementwise.js";
import { Engine, WasmCache, WasmPacked } from "./engine.js";
import { lossKernels } from "./losses.js";
import { LIMIT, WasmMemory } from "./memory.js";
import { compileKernels, instantiateKernels } from "./module.js";
import { movementKernels } from "./movement.js";
import { ACROSS, panelsOf, productKernels } from "./products.js";
import { rowKernels } from "./rows.js";
import { SCRATCH_BYTES, Threads } from "./threads.js";

const MAX_THREADS = 64;

export interface WasmDeviceOptions extends WasmOptions {
  readonly host: Host;
}

export interface WasmDevice extends Device {
  /** Bytes in use, and bytes of the WebAssembly memory, which never shrinks. */
  memory(): { readonly used: number; readonly size: number };
}

/**
 * Throws a DeviceError: "wasm-simd-missing", "wasm-relaxed-missing" or "wasm-threads-missing" if a wish cannot be met,
 * "wasm-worker-lost" if a worker fails to start.
 */
export async function createWasmDevice({
  threads = 1,
  build: wish = "auto",
  host,
}: WasmDeviceOptions): Promise<WasmDevice> {
  requireInteger("createDevice: threads", threads, 1, MAX_THREADS);
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
  const { build, name, module } = await compileKernels(wish, shared, host);
  const memory = new WasmMemory({ shared });
  const wasm = await instantiateKernels(module, memory.memory);
  wasm.setScratch(memory.allocate(SCRATCH_BYTES));
  const engine = new Engine(
    memory,
    wasm,
    shared
      ? await Threads.start(threads, module, memory, wasm, { now: () => host.now(), spawnWorker: spawnWorker! })
      : undefined,
  );

  return {
    backend: "wasm",
    info: {
      description:
        `wasm: WebAssembly SIMD (${build === "relaxed" ? "fused multiply-add" : "portable"}), ${threads} ` +
        `thread${shared ? "s" : ""}`,
      threads,
      batchIndependent: true,
      kernelBuild: name,
      memoryLimit: LIMIT,
    },
    kernels: {
      ...productKernels(engine),
      ...elementwiseKernels(engine),
      ...movementKernels(engine),
      ...rowKernels(engine),
      ...lossKernels(engine),
      ...attentionKernels(engine),
    },

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
    readPacked: (packed) => Promise.resolve(unpackAll(engine, engine.packed(packed))),
    freePacked(packed) {
      const matrix = engine.packed(packed);
      memory.free(matrix.address, matrix.bytes);
      matrix.address = 0;
    },

    createCache(kvHeads, headDim, capacity) {
      const keys = kvHeads * wasm.keyBytes(capacity, headDim);
      const values = kvHeads * wasm.valueBytes(capacity, headDim);
      const cache = new WasmCache(engine, kvHeads, headDim, capacity, memory.allocate(keys), memory.allocate(values));
      // Kernels compute with the lanes of positions that are not yet written, and ignore the results.
      wasm.fillZeros(cache.keys, keys / 4);
      wasm.fillZeros(cache.values, values / 4);
      return cache;
    },
    copyCache(from, to, positions) {
      const source = engine.cache(from);
      const target = engine.cache(to);
      // Whole blocks: what lies beyond `positions` will be written again.
      const copy = (part: "keys" | "values", bytes: number): void => {
        memory.f32.copyWithin(target[part] / 4, source[part] / 4, (source[part] + bytes) / 4);
      };
      copy("keys", source.kvHeads * wasm.keyBytes(positions, source.headDim));
      copy("values", source.kvHeads * wasm.valueBytes(positions, source.headDim));
    },
    readCache(cache, begin, end) {
      const { keys, values, headDim, kvHeads } = engine.cache(cache);
      const length = (end - begin) * kvHeads * headDim;
      const k = engine.allocate(length);
      const v = engine.allocate(length);
      wasm.cacheRead({
        keys,
        values,
        d: headDim,
        groups: kvHeads,
        begin,
        end,
        toKeys: k.address,
        toValues: v.address,
      });
      const result = { keys: copyOut(memory, k.address, length), values: copyOut(memory, v.address, length) };
      engine.free(k);
      engine.free(v);
      return Promise.resolve(result);
    },
    freeCache(cache) {
      const own = engine.cache(cache);
      memory.free(own.keys, own.kvHeads * wasm.keyBytes(own.capacity, own.headDim));
      memory.free(own.values, own.kvHeads * wasm.valueBytes(own.capacity, own.headDim));
      own.keys = own.values = 0;
    },

    memory: () => ({ used: memory.used, size: memory.size }),
    dispose: () => engine.dispose(),
  };
}

function copyOut(memory: WasmMemory, address: number, length: number): Float32Array {
  return memory.f32.slice(address / 4, address / 4 + length);
}

function createPacked(engine: Engine, rows: number, columns: number, dtype: WeightDtype): PackedStorage {
  const panels = panelsOf(rows);
  const panelBytes = { float32: 64 * columns, bfloat16: 32 * columns, int8: 32 * Math.ceil(columns / 2) }[dtype];
  const scalesAt = panels * panelBytes;
  const bytes = scalesAt + (dtype === "int8" ? 64 * panels : 0);
  const address = engine.memory.allocate(bytes);
  // Padding must be zero: unused rows of the last panel, their scales, and in int8 the partner of an odd last column.
  const dirty = dtype === "int8" ? 0 : Math.max(0, scalesAt - panelBytes);
  engine.wasm.fillZeros(address + dirty, (bytes - dirty) / 4);
  return new WasmPacked(engine, rows, columns, dtype, bytes, scalesAt, address);
}

/** Packs rows through working memory, a megabyte or sixteen rows at a time, cut where panels begin. */
function packRows(engine: Engine, packed: WasmPacked, firstRow: number, data: Float32Array): void {
  const { address, columns: k, dtype, scalesAt } = packed;
  const last = firstRow + (k === 0 ? 0 : data.length / k);
  const step = Math.max(16, 16 * Math.floor(2 ** 18 / (16 * Math.max(k, 1))));
  const work = engine.work(4 * step * k + 64);
  for (let row = firstRow; row < last;) {
    const next = Math.min(last, row - (row % 16) + step);
    const rows = { k, first: row, count: next - row, from: work };
    engine.memory.f32.set(data.subarray((row - firstRow) * k, (next - firstRow) * k), work / 4);
    switch (dtype) {
      case "float32":
        engine.wasm.packFloat32({ w: address, ...rows });
        break;
      case "bfloat16":
        engine.wasm.packBfloat16({ w: address, ...rows });
        break;
      case "int8":
        engine.wasm.packInt8({ w: address, scales: address + scalesAt, ...rows });
        break;
      default:
        dtype satisfies never;
    }
    row = next;
  }
}

function unpackAll(engine: Engine, { address, rows, columns: k, dtype, scalesAt }: WasmPacked): Float32Array {
  const out = new Float32Array(rows * k);
  const step = Math.max(1, Math.floor(2 ** 18 / Math.max(k, 1)));
  const work = engine.work(4 * step * k + 64);
  for (let row = 0; row < rows; row += step) {
    const ids = Array.from({ length: Math.min(step, rows - row) }, (_, i) => row + i);
    engine.wasm.unpackRows({
      kind: ACROSS[dtype],
      w: address,
      scales: address + scalesAt,
      k,
      ids: engine.indices(ids),
      count: ids.length,
      to: work,
    });
    out.set(engine.memory.f32.subarray(work / 4, work / 4 + ids.length * k), row * k);
  }
  return out;
}
