/**
 * Kernels of the wasm device against the limits of this machine, measured in the same run: memory read bandwidth, and
 * the peak of 128-bit multiply-adds. `npx tsx lab/speed/kernels.ts [portable] [name …]` prints the table alone; `npm run
 * bench` puts it into the report.
 */
import { nodeHost } from "../../src/node/index.js";
import { createRng, type Device, type Storage, type WeightDtype } from "../../src/tensor/index.js";
import { createWasmDevice } from "../../src/tensor/wasm/index.js";
import { type Limits, measureLimits } from "./limits.js";
import { machine, type Table, toMarkdown } from "../report/index.js";
import { measure, type Timing } from "./timing.js";

interface Row {
  readonly name: string;
  readonly flops?: number;
  readonly bytes?: number;
  readonly rows?: number;
  readonly run: () => void;
}

/** What the sections below run on. */
interface Workshop {
  readonly device: Device;
  readonly kernels: Device["kernels"];
  readonly upload: (length: number) => Storage;
  readonly free: (storage: Storage) => void;
  readonly pack: (n: number, k: number, dtype: WeightDtype) => ReturnType<Device["createPacked"]>;
}

const rng = createRng(1);
const block = Float32Array.from({ length: 2 ** 16 }, () => rng.normal() * 0.1);

/** Any number of ordinary values. */
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

function* productRows({ device, kernels, upload, free, pack }: Workshop): Generator<Row> {
  for (const dtype of ["float32", "bfloat16", "int8"] as const) {
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
  for (const dtype of ["float32", "bfloat16", "int8"] as const) {
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

function* trainingRows({ device, kernels, upload, free }: Workshop): Generator<Row> {
  const batch = 64;
  const k = 512;
  const n = 8192;
  const x = upload(batch * k);
  const w = upload(n * k);
  const dy = upload(batch * n);
  const dLoss = upload(batch);
  const product = { batch: 1, transposeA: false, transposeB: false };
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

function* rowKernelRows({ kernels, upload, free }: Workshop): Generator<Row> {
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

function* attentionRows({ device, kernels, upload, free }: Workshop): Generator<Row> {
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
  const [q, k, v, dy] = Array.from({ length: 4 }, () => upload(4 * 128 * 512)) as [Storage, Storage, Storage, Storage];
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

export interface KernelTiming extends Timing {
  readonly name: string;
  readonly threads: number;
  /** GFLOP/s and its share of the multiply-add limit. */
  readonly gflops?: number;
  readonly peakShare?: number;
  /** GB/s and its share of the read limit. */
  readonly gbps?: number;
  readonly readShare?: number;
  readonly rows?: number;
  /** Time per row over the time of one row of the same product. */
  readonly perRow?: number;
  /** The same where only arithmetic took time, at the multiply-add limit: what no product of many rows can go below. */
  readonly perRowLimit?: number;
}

/** Times every kernel whose name contains one of `filters` (all of them where there are none), one after another. */
export async function* timeKernels(
  device: Device,
  { read, multiplyAdd }: Limits,
  filters: readonly string[] = [],
): AsyncGenerator<KernelTiming> {
  let oneRow = NaN;
  for (const section of [productRows, trainingRows, rowKernelRows, attentionRows]) {
    for (const { name, flops, bytes, rows, run } of section(workshop(device))) {
      if (filters.length > 0 && !filters.some((filter) => name.includes(filter))) continue;
      const timing = await measure(name, run);
      if (rows === 1) oneRow = timing.median;
      const gflops = (flops ?? NaN) / timing.median / 1e6;
      const gbps = (bytes ?? NaN) / timing.median / 1e6;
      yield {
        name,
        threads: device.info.threads,
        ...timing,
        ...(flops !== undefined && { gflops, peakShare: gflops / multiplyAdd }),
        ...(bytes !== undefined && { gbps, readShare: gbps / read }),
        ...(rows !== undefined && {
          rows,
          perRow: timing.median / rows / oneRow,
          perRowLimit: flops! / rows / multiplyAdd / 1e6 / oneRow,
        }),
      };
    }
  }
}

/** Products of a few rows against one row, a line for each matrix. */
export function fewRowsTable(timings: readonly KernelTiming[]): Table {
  const matrixOf = ({ name, threads }: KernelTiming): string =>
    `${name.slice(0, name.lastIndexOf(","))}${threads > 1 ? `, ${threads} threads` : ""}`;
  const products = timings.filter(({ rows }) => rows !== undefined);
  const counts = [2, 3, 4, 8, 16];
  return {
    title: "Products of a few rows",
    note:
      "Time per row over that of one row of the same product: what a token costs that is verified, or batched, " +
      'with others. "arithmetic" is the same if nothing but multiply-adds took time, at this run\'s limit of one ' +
      "thread. Aims, float32 with 2, 4 and 8 rows: 0.85, 0.65, 0.6 in the cache; 0.6, 0.35, 0.25 out of it.",
    columns: ["product", "1 row, µs", ...counts.map((count) => `${count} rows`), "arithmetic"],
    rows: [...new Set(products.map(matrixOf))].map((matrix) => {
      const withRows = (count: number): KernelTiming | undefined =>
        products.find((timing) => matrixOf(timing) === matrix && timing.rows === count);
      return [
        matrix,
        1000 * (withRows(1)?.median ?? NaN),
        ...counts.map((count) => withRows(count)?.perRow ?? ""),
        withRows(1)?.perRowLimit ?? "",
      ];
    }),
  };
}

/** The timings as a table of a report. */
export function kernelTable(timings: readonly KernelTiming[]): Table {
  const share = (value: number | undefined): string => (value === undefined ? "" : `${(100 * value).toFixed(0)} %`);
  return {
    title: "Kernels",
    note:
      "Medians. Shares are of this run's limits of one thread; GB/s stands where a kernel's weights exceed the " +
      'caches; "per row" is the time per row over that of one row of the same product: what verifying several ' +
      "tokens at once costs.",
    columns: ["kernel", "threads", "µs", "spread", "GFLOP/s", "of peak", "GB/s", "of read", "per row"],
    rows: timings.map(
      ({ name, threads, median, lowerQuartile, upperQuartile, gflops, peakShare, gbps, readShare, perRow }) => [
        name,
        threads,
        1000 * median,
        share((upperQuartile - lowerQuartile) / median),
        gflops ?? "",
        share(peakShare),
        gbps ?? "",
        share(readShare),
        perRow ?? "",
      ],
    ),
  };
}

if (process.argv[1]?.endsWith("kernels.ts")) {
  const wishes = process.argv.slice(2);
  const build = wishes.includes("portable") ? "portable" : "auto";
  const device = await createWasmDevice({ build, host: nodeHost });
  const where = machine();
  const limits = await measureLimits(build);
  const timings: KernelTiming[] = [];
  for await (const timing of timeKernels(
    device,
    limits,
    wishes.filter((wish) => wish !== "portable"),
  )) {
    timings.push(timing);
  }
  console.log(
    toMarkdown({
      name: "kernels",
      title: `Kernels: ${device.info.description}`,
      machine: where,
      data: { limits, timings },
      tables: [
        ...(timings.some(({ rows }) => rows !== undefined) ? [fewRowsTable(timings)] : []),
        kernelTable(timings),
      ],
    }),
  );
  await device.dispose();
}
