/**
 * Kernels of the wasm device against the limits of this machine, measured in the same run: memory read bandwidth, and the peak of
 * 128-bit multiply-adds. Run with `npx tsx bench/kernels.ts [portable] [name …]`; every line is a median with its spread.
 *   GB/s     bytes a kernel must move at least once (weights; for the optimiser also what it writes) per second, where they exceed the caches
 *   row      time per row, and its ratio to one row of the same product: what verifying several tokens at once costs
 */
import { nodeHost } from "../src/node/host.js";
import type { Device, Storage, WeightDtype } from "../src/tensor/device.js";
import { createRng } from "../src/tensor/rng.js";
import { createWasmDevice } from "../src/tensor/wasm/wasm-device.js";
import { measureLimits } from "./limits.js";
import { describeMachine, machine, measure } from "./measure.js";

const wishes = process.argv.slice(2);
const build = wishes.includes("portable") ? "portable" : "auto";
const filters = wishes.filter((wish) => wish !== "portable");

interface Row {
  readonly name: string;
  readonly flops?: number;
  readonly bytes?: number;
  readonly rows?: number;
  readonly run: () => void;
}

const device = await createWasmDevice({ build, host: nodeHost });
const { kernels } = device;
const rng = createRng(1);
const block = Float32Array.from({ length: 2 ** 16 }, () => rng.normal() * 0.1);

/** Any number of ordinary values. */
function fill(length: number): Float32Array {
  const data = new Float32Array(length);
  for (let at = 0; at < length; at += block.length) data.set(block.subarray(0, Math.min(block.length, length - at)), at);
  return data;
}

const upload = (length: number): Storage => device.upload(fill(length));
const free = (storage: Storage): void => device.free(storage);

function pack(n: number, k: number, dtype: WeightDtype): ReturnType<Device["createPacked"]> {
  const packed = device.createPacked(n, k, dtype);
  const data = fill(k);
  const rows = new Float32Array(64 * k);
  for (let row = 0; row < 64; row++) rows.set(data, row * k);
  for (let row = 0; row < n; row += 64) device.packRows(packed, row, rows.subarray(0, Math.min(64, n - row) * k));
  return packed;
}

function* productRows(): Generator<Row> {
  for (const dtype of ["float32", "bfloat16", "int8"] as const) {
    for (const [place, n, k] of [["128 x 128", 128, 128], ["in cache 512 x 384", 384, 512], ["out of cache 512 x 49152", 49_152, 512]] as const) {
      const weight = pack(n, k, dtype);
      for (const rows of [1, 2, 3, 4, 8, 16]) {
        const x = upload(rows * k);
        yield { name: `linear ${dtype} ${place}, ${rows} rows`, flops: 2 * rows * n * k, ...(n > 1000 && { bytes: weight.bytes }), rows, run: () => free(kernels.linear(x, weight, rows, undefined, undefined)) };
        free(x);
      }
      device.freePacked(weight);
    }
  }
  for (const dtype of ["float32", "bfloat16", "int8"] as const) {
    for (const [rows, n, k] of [[512, 512, 512], [128, 2048, 512], [128, 512, 2048]] as const) {
      const [weight, x] = [pack(n, k, dtype), upload(rows * k)];
      yield { name: `gemm ${dtype} ${rows} x ${k} x ${n}`, flops: 2 * rows * n * k, run: () => free(kernels.linear(x, weight, rows, undefined, undefined)) };
      device.freePacked(weight);
      free(x);
    }
  }
}

function* trainingRows(): Generator<Row> {
  const [batch, k, n] = [64, 512, 8192];
  const [x, w, dy, dLoss] = [upload(batch * k), upload(n * k), upload(batch * n), upload(batch)];
  const product = { batch: 1, transposeA: false, transposeB: false };
  yield { name: "head forward 64 x 512 x 8192 (W transposed)", flops: 2 * batch * k * n, run: () => free(kernels.matmul(x, w, { ...product, m: batch, n, k, transposeB: true })) };
  yield { name: "head weight gradient 8192 x 64 x 512 (dy transposed)", flops: 2 * batch * k * n, run: () => free(kernels.matmul(dy, x, { ...product, m: n, n: k, k: batch, transposeA: true })) };
  yield { name: "head input gradient 64 x 8192 x 512", flops: 2 * batch * k * n, run: () => free(kernels.matmul(dy, w, { ...product, m: batch, n: k, k: n })) };
  yield { name: "kl 64 x 8192", run: () => free(kernels.kl(dy, dy, batch, n, 1)) };
  yield { name: "kl backward 64 x 8192", run: () => free(kernels.klBackward(dy, dy, dLoss, batch, n, 1)) };
  const step = { learningRate: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, correction1: 0.1, correction2: 0.001, gradientScale: 1 };
  const [gradient, m, v] = [upload(n * k), upload(n * k), device.upload(fill(n * k).map(Math.abs))];
  yield { name: "adamw 4.2 M", bytes: 28 * n * k, run: () => kernels.adamw(w, gradient, m, v, step) };
  yield { name: "sum of squares 4.2 M", bytes: 4 * n * k, run: () => free(kernels.sumSquares(gradient)) };
  for (const storage of [x, w, dy, dLoss, gradient, m, v]) free(storage);
}

function* rowKernelRows(): Generator<Row> {
  const [x, gain, z, wide] = [upload(512), upload(512), upload(50_257), upload(2048)];
  yield { name: "layerNorm 1 x 512", run: () => free(kernels.layerNorm(x, gain, gain, 1, 512, 1e-5)) };
  yield { name: "rmsNorm 1 x 512", run: () => free(kernels.rmsNorm(x, gain, 1, 512, 1e-5)) };
  for (const op of ["gelu", "geluTanh", "silu"] as const) yield { name: `${op} 2048`, run: () => free(kernels.unary(op, wide)) };
  yield { name: "softmax 1 x 50257", run: () => free(kernels.softmax(z, 1, 50_257)) };
  yield { name: "rowStats 1 x 50257", run: () => free(kernels.rowStats(z, 1, 50_257)) };
  yield { name: "scale 4 (overhead of a call)", run: () => free(kernels.scale(gain, 2)) };
}

function* attentionRows(): Generator<Row> {
  const [heads, headDim, capacity] = [8, 64, 1024];
  for (const kvHeads of [8, 2]) {
    const cache = device.createCache(kvHeads, headDim, capacity);
    const kv = upload(capacity * 2 * kvHeads * headDim);
    const all = Array.from({ length: capacity }, (_, i) => i);
    kernels.cacheWrite([{ cache, positions: all }], kv, undefined);
    for (const [rows, last] of [[1, 127], [1, 1023], [4, 1023], [128, 127]] as const) {
      const q = upload(rows * heads * headDim);
      const positions = all.slice(last + 1 - rows, last + 1);
      const pairs = positions.reduce((sum, position) => sum + position + 1, 0);
      yield { name: `cacheAttention ${kvHeads} of 8 heads x 64, ${rows} rows at ${last}`, flops: 4 * pairs * heads * headDim, run: () => free(kernels.cacheAttention([{ cache, positions }], q, heads, undefined)) };
      free(q);
    }
    free(kv);
    device.freeCache(cache);
  }
  const dims = { batch: 4, time: 128, heads: 8, kvHeads: 8, headDim: 64 };
  const [q, k, v, dy] = Array.from({ length: 4 }, () => upload(4 * 128 * 512)) as [Storage, Storage, Storage, Storage];
  const pairs = (4 * 8 * 128 * 129) / 2;
  yield { name: "attention 4 x 128, 8 heads x 64", flops: 4 * pairs * 64, run: () => free(kernels.attention(q, k, v, dims)) };
  yield { name: "attention backward", flops: 14 * pairs * 64, run: () => Object.values(kernels.attentionBackward(q, k, v, dy, dims)).forEach(free) };
}

const { read, multiplyAdd: peak } = await measureLimits(build);
console.log(`${describeMachine(machine())}; ${device.info.description}`);
console.log(`limits, one thread: read ${read.toFixed(1)} GB/s, multiply-add ${peak.toFixed(1)} GFLOP/s\n`);
console.log(`${"kernel".padEnd(52)}${"µs".padStart(10)}${"spread".padStart(8)}${"GFLOP/s".padStart(9)}${"peak".padStart(6)}${"GB/s".padStart(8)}${"read".padStart(6)}${"row".padStart(7)}`);
let oneRow = NaN;
for (const section of [productRows, trainingRows, rowKernelRows, attentionRows]) {
  for (const row of section()) {
    if (filters.length > 0 && !filters.some((filter) => row.name.includes(filter))) continue;
    const { median: p50, lowerQuartile: p25, upperQuartile: p75 } = await measure(row.name, row.run);
    if (row.rows === 1) oneRow = p50;
    const cells = [(p50 * 1000).toFixed(2).padStart(10), `${(((p75 - p25) / p50) * 100).toFixed(0)}%`.padStart(8)];
    const share = (value: number, limit: number): string => `${((value / limit) * 100).toFixed(0)}%`.padStart(6);
    const flops = row.flops === undefined ? NaN : row.flops / p50 / 1e6;
    const bytes = row.bytes === undefined ? NaN : row.bytes / p50 / 1e6;
    cells.push(row.flops === undefined ? " ".repeat(15) : flops.toFixed(1).padStart(9) + share(flops, peak));
    cells.push(row.bytes === undefined ? " ".repeat(14) : bytes.toFixed(1).padStart(8) + share(bytes, read));
    cells.push(row.rows === undefined ? "" : (p50 / row.rows / oneRow).toFixed(2).padStart(7));
    console.log(row.name.padEnd(52) + cells.join(""));
  }
}
await device.dispose();
