/**
 * Cases of `kernels.ts`: products of a few rows and of many, a head's training step, kernels over one row, attention.
 * The shapes are those of models with 512 or 768 hidden values. Inputs are uploaded when a case is asked for, and freed
 * when the next one is.
 */
import { createRng, type Device, type WeightDtype } from "../../src/tensor/index.js";
import { type Storage, weightDtypes } from "../../src/tensor/device.js";

/** One call of a kernel, and what it is compared with. */
interface KernelCase {
  readonly name: string;
  /** Floating-point operations. */
  readonly flops?: number;
  /** Bytes of weights, if they exceed the caches. */
  readonly bytes?: number;
  /** Rows of a product that is timed with several numbers of rows, one row first. */
  readonly rows?: number;
  readonly run: () => void;
}

/** The device, with short forms of what every case does. */
interface Workshop {
  readonly device: Device;
  readonly kernels: Device["kernels"];
  readonly upload: (length: number) => Storage;
  readonly free: (storage: Storage) => void;
  readonly pack: (n: number, k: number, dtype: WeightDtype) => ReturnType<Device["createPacked"]>;
}

/** All cases, one after another; a case must run before the next one is asked for. */
export function* kernelCases(device: Device): Generator<KernelCase> {
  const shop = workshop(device);
  yield* productCases(shop);
  yield* trainingCases(shop);
  yield* rowCases(shop);
  yield* attentionCases(shop);
}

const rng = createRng(1);
const block = Float32Array.from({ length: 2 ** 16 }, () => rng.normal() * 0.1);

/** Ordinary values, repeated in blocks. */
function fill(length: number): Float32Array {
  const data = new Float32Array(length);
  for (let at = 0; at < length; at += block.length) {
    data.set(block.subarray(0, Math.min(block.length, length - at)), at);
  }
  return data;
}

function workshop(device: Device): Workshop {
  return {
    device,
    kernels: device.kernels,
    upload: (length) => device.upload(fill(length)),
    free: (storage) => device.free(storage),
    pack(n, k, dtype) {
      const packed = device.createPacked(n, k, dtype);
      const data = fill(k);
      const rows = new Float32Array(64 * k);
      for (let row = 0; row < 64; row++) rows.set(data, row * k);
      for (let row = 0; row < n; row += 64) device.packRows(packed, row, rows.subarray(0, Math.min(64, n - row) * k));
      return packed;
    },
  };
}

function* productCases({ device, kernels, upload, free, pack }: Workshop): Generator<KernelCase> {
  for (const dtype of weightDtypes) {
    for (const [place, n, k] of [
      ["128 x 128", 128, 128],
      ["in cache 512 x 384", 384, 512],
      ["out of cache 512 x 49152", 49_152, 512],
    ] as const) {
      const weight = pack(n, k, dtype);
      for (const rows of [1, 2, 3, 4, 8, 16]) {
        const x = upload(rows * k);
        yield {
          name: `linear ${dtype} ${place}, ${rows} rows`,
          flops: 2 * rows * n * k,
          ...(n > 1000 && { bytes: weight.bytes }),
          rows,
          run: () => free(kernels.linear(x, weight, rows, undefined, undefined)),
        };
        free(x);
      }
      device.freePacked(weight);
    }
  }
  for (const dtype of weightDtypes) {
    for (const [rows, n, k] of [
      [512, 512, 512],
      [128, 2048, 512],
      [128, 512, 2048],
    ] as const) {
      const weight = pack(n, k, dtype);
      const x = upload(rows * k);
      yield {
        name: `gemm ${dtype} ${rows} x ${k} x ${n}`,
        flops: 2 * rows * n * k,
        run: () => free(kernels.linear(x, weight, rows, undefined, undefined)),
      };
      device.freePacked(weight);
      free(x);
    }
  }
}

function* trainingCases({ device, kernels, upload, free }: Workshop): Generator<KernelCase> {
  const batch = 64;
  const k = 512;
  const n = 8192;
  const x = upload(batch * k);
  const w = upload(n * k);
  const dy = upload(batch * n);
  const dLoss = upload(batch);
  const product = { transposeA: false, transposeB: false };
  yield {
    name: "head forward 64 x 512 x 8192 (W transposed)",
    flops: 2 * batch * k * n,
    run: () => free(kernels.matmul(x, w, { ...product, m: batch, n, k, transposeB: true })),
  };
  yield {
    name: "head weight gradient 8192 x 64 x 512 (dy transposed)",
    flops: 2 * batch * k * n,
    run: () => free(kernels.matmul(dy, x, { ...product, m: n, n: k, k: batch, transposeA: true })),
  };
  yield {
    name: "head input gradient 64 x 8192 x 512",
    flops: 2 * batch * k * n,
    run: () => free(kernels.matmul(dy, w, { ...product, m: batch, n: k, k: n })),
  };
  yield { name: "kl 64 x 8192", run: () => free(kernels.kl(dy, dy, batch, n, 1)) };
  yield { name: "kl backward 64 x 8192", run: () => free(kernels.klBackward(dy, dy, dLoss, batch, n, 1)) };
  const step = {
    learningRate: 0,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.01,
    correction1: 0.1,
    correction2: 0.001,
    gradientScale: 1,
  };
  const gradient = upload(n * k);
  const m = upload(n * k);
  const v = device.upload(fill(n * k).map(Math.abs));
  yield { name: "adamw 4.2 M", bytes: 28 * n * k, run: () => kernels.adamw(w, gradient, m, v, step) };
  yield { name: "sum of squares 4.2 M", bytes: 4 * n * k, run: () => free(kernels.sumSquares(gradient)) };
  for (const storage of [x, w, dy, dLoss, gradient, m, v]) free(storage);
}

function* rowCases({ kernels, upload, free }: Workshop): Generator<KernelCase> {
  const x = upload(512);
  const gain = upload(512);
  const z = upload(50_257);
  const wide = upload(2048);
  yield { name: "layerNorm 1 x 512", run: () => free(kernels.layerNorm(x, gain, gain, 1, 512, 1e-5)) };
  yield { name: "rmsNorm 1 x 512", run: () => free(kernels.rmsNorm(x, gain, 1, 512, 1e-5)) };
  for (const op of ["gelu", "geluTanh", "silu"] as const) {
    yield { name: `${op} 2048`, run: () => free(kernels.unary(op, wide)) };
  }
  yield { name: "softmax 1 x 50257", run: () => free(kernels.softmax(z, 1, 50_257)) };
  yield { name: "rowStats 1 x 50257", run: () => free(kernels.rowStats(z, 1, 50_257)) };
  yield { name: "scale 4 (overhead of a call)", run: () => free(kernels.scale(gain, 2)) };
}

function* attentionCases({ device, kernels, upload, free }: Workshop): Generator<KernelCase> {
  const heads = 8;
  const headDim = 64;
  const capacity = 1024;
  for (const kvHeads of [8, 2]) {
    const cache = device.createCache(kvHeads, headDim, capacity);
    const kv = upload(capacity * 2 * kvHeads * headDim);
    const all = Array.from({ length: capacity }, (_, i) => i);
    kernels.cacheWrite([{ cache, positions: all }], kv, undefined);
    for (const [rows, last] of [
      [1, 127],
      [1, 1023],
      [4, 1023],
      [128, 127],
    ] as const) {
      const q = upload(rows * heads * headDim);
      const positions = all.slice(last + 1 - rows, last + 1);
      const pairs = positions.reduce((sum, position) => sum + position + 1, 0);
      yield {
        name: `cacheAttention ${kvHeads} of 8 heads x 64, ${rows} rows at ${last}`,
        flops: 4 * pairs * heads * headDim,
        run: () => free(kernels.cacheAttention([{ cache, positions }], q, heads, undefined)),
      };
      free(q);
    }
    free(kv);
    device.freeCache(cache);
  }
  const dims = { batch: 4, time: 128, heads: 8, kvHeads: 8, headDim: 64 };
  const q = upload(4 * 128 * 512);
  const k = upload(4 * 128 * 512);
  const v = upload(4 * 128 * 512);
  const dy = upload(4 * 128 * 512);
  const pairs = (4 * 8 * 128 * 129) / 2;
  yield {
    name: "attention 4 x 128, 8 heads x 64",
    flops: 4 * pairs * 64,
    run: () => free(kernels.attention(q, k, v, dims)),
  };
  yield {
    name: "attention backward",
    flops: 14 * pairs * 64,
    run: () => Object.values(kernels.attentionBackward(q, k, v, dy, dims)).forEach(free),
  };
}
