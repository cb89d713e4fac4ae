/**
 * Bounds on y = U·x + b from a coarse copy of U, for the float32 product as the device computes it. With u = 2^-24 and
 * gamma_m = m u / (1 - m u), a sum of m terms in any fixed order, fused or not, is off by at most gamma_m times the sum
 * of their magnitudes (Higham 2002, section 3.1), and by Cauchy-Schwarz that sum is at most the product of the norms.
 * For row n, U_n = Û_n + (U_n - Û_n), e_n = |U_n - Û_n|₂, and the state x̂ as it was rounded for the coarse product:
 *
 *   y_n     the device's entry: starts at b_n and adds K products
 *           |y_n - (b_n + U_n·x)| <= gamma_{K+1} (|b_n| + |U_n| |x|)
 *   a_n     the coarse entry: integers are exact; S segments of K are converted, scaled, added, scaled, added to b_n
 *           |a_n - (b_n + Û_n·x̂)| <= gamma_{S+3} (|b_n| + |Û_n| |x̂|)
 *   between |U_n·x - Û_n·x̂| <= e_n |x| + |Û_n| |x - x̂|         (x - x̂ is read back, whatever rounded x)
 *
 * and so |y_n - a_n| <= alpha E_n + rho |Û_n| + delta with |U_n| <= |Û_n| + e_n, |x̂| <= |x| + |x - x̂|,
 * kappa = gamma_{S+3} + 2u (2u: the rounding of a_n ∓ width itself) and B = max |b_n|:
 *
 *   E_n   = e_n (1 + gamma_{K+1}) + |Û_n| (gamma_{K+1} + kappa)      once for each row, as |Û_n| is
 *   alpha = |x|,   rho = |x - x̂| (1 + kappa)                         once for each state
 *   delta = B (gamma_{K+1} + kappa) + tiny
 *
 * All are computed in float64 and rounded up with room for the float32 operations of the kernel. `tiny` covers
 * underflow: an operation that underflows is off by at most 2^-149, and scales are at most N = max (|Û_n| + e_n).
 * Overflow is excluded: a state for which N |x| + B might reach 2^120 has no bounds, nor has one that is not finite.
 */
import type { CoarseStorage, PackedStorage, ProductBounds, Screening, Storage } from "../device.js";
import { coarseBytes } from "../coarse-bytes.js";
import { deviceMixed, storageFreed } from "../device-errors.js";
import { type Engine, WasmPacked } from "./engine.js";
import { ACROSS, PANELS, panelsOf, rowsAtOnce } from "./products.js";
import { SEGMENT_QUADS } from "./kernels/constants.js";

/**
 * Columns of a state x [K] that share a step. A state has few large values: the step suits integers of seven bits, and
 * one quad of k in twelve may have fourteen.
 */
const SEGMENT = 4 * SEGMENT_QUADS;
const SEVEN_BITS = 63;
const FOURTEEN_BITS = 8191;
/** Of so many quads one may have fourteen bits. */
const NARROW = 12;

/** The step: not too small for fourteen bits, large enough for seven in all quads but a few. */
function stepOf(values: Float32Array): number {
  const quads = Math.ceil(values.length / 4);
  const magnitudes = new Float32Array(quads);
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > magnitudes[i >> 2]!) magnitudes[i >> 2] = magnitude;
  }
  magnitudes.sort();
  const top = magnitudes[quads - 1]!;
  const most = magnitudes[quads - 1 - Math.ceil(quads / NARROW)] ?? 0;
  return Math.fround(Math.max(most / SEVEN_BITS, top / FOURTEEN_BITS));
}

function stateAt(buffer: ArrayBufferLike, address: number, k: number) {
  const quads = Math.ceil(k / 4);
  const segments = address + 16 + 16 * Math.ceil(quads / 4);
  const wide = segments + 16 * Math.ceil(k / SEGMENT);
  return {
    limits: new Float32Array(buffer, address, 3),
    narrow: new Uint8Array(buffer, address + 16, 4 * quads),
    steps: new Float32Array(buffer, segments),
    counts: new Int32Array(buffer, segments),
    wide: new Int16Array(buffer, wide, 8 * quads),
    offsets: new Int32Array(buffer, wide, 4 * quads),
  };
}

const UNIT = 2 ** -24;
/** More than a float32 loses in four operations. */
const ROOM = 1 + 2 ** -20;
const MOST = 2 ** 120;
/** Weights per microsecond of one thread, for sharing. */
const WEIGHTS_PER_US = 25_000;

const gamma = (m: number): number => (m * UNIT) / (1 - m * UNIT);

class WasmCoarse implements CoarseStorage {
  constructor(
    readonly engine: Engine,
    readonly rows: number,
    readonly columns: number,
    readonly bytes: number,
    readonly bias: Storage | undefined,
    /** N: the largest |Û_n| + e_n. */
    readonly mostNorm: number,
    /** B: the largest |b_n|. */
    readonly mostBias: number,
    /** 0 once freed. */ public address: number,
  ) {}
}

/** `dots`: the kernels' way has them. */
export function screeningKernels(engine: Engine, dots: boolean): Screening {
  return {
    createCoarse(weight, bias) {
      const packed = engine.packed(weight);
      if (packed.dtype === "int8") return undefined;
      return createCoarse(engine, packed, bias);
    },
    bounds: (x, coarse, rows) => boundsOf(engine, engine.at(x), own(engine, coarse), rows, dots),
    mayBeLargest({ lower, upper }, row, { width, count, capacity }) {
      const out = engine.work(4 * capacity + engine.wasm.largestWorkBytes(width));
      const found = engine.wasm.mayBeLargest({
        lower: engine.at(lower) + 4 * row * width,
        upper: engine.at(upper) + 4 * row * width,
        n: width,
        count,
        work: out + 4 * capacity,
        out,
        capacity,
      });
      return found > capacity ? undefined : Array.from(engine.memory.i32.subarray(out / 4, out / 4 + found));
    },
    freeCoarse(coarse) {
      const matrix = own(engine, coarse);
      engine.memory.free(matrix.address, matrix.bytes);
      matrix.address = 0;
    },
    // Entries of a product. A panel of sixteen rows is multiplied alone with the bits that it has among others, so only
    // the panels of wanted entries are read, each once: fifteen neighbours with each, but no second copy of the rows.
    linearAt(x, weight, ids, bias) {
      const { address, rows: n, columns: k, dtype } = engine.packed(weight);
      const floats = dtype === "float32" || dtype === "bfloat16";
      const y = engine.allocate(ids.length);
      const given = {
        kind: floats ? PANELS[dtype] : ACROSS[dtype],
        w: address,
        x: engine.at(x),
        y: y.address,
        bias: engine.atOrNone(bias),
        ids: engine.indices(ids),
        count: ids.length,
        n,
        k,
        work: engine.work(floats ? 128 : engine.wasm.integerWorkBytes(1, k)),
      };
      if (floats) engine.wasm.linearAt(given);
      else engine.wasm.integersAt(given);
      return y;
    },
    bytesAt,
    largest(x, row, { width, count }) {
      const out = engine.work(4 * count + engine.wasm.largestWorkBytes(width));
      engine.wasm.largest({ x: engine.at(x) + 4 * row * width, n: width, count, work: out + 4 * count, out });
      return Array.from(engine.memory.i32.subarray(out / 4, out / 4 + count));
    },
    addNibbleRows(coarse, begin, weight, x, ids) {
      const y = engine.allocate(ids.length);
      const work = engine.work(4 * x.length);
      engine.memory.f32.set(x, work / 4);
      engine.wasm.addNibbleRows({
        w: engine.at(weight),
        k: 2 * x.length - 8,
        x: work,
        coarse: engine.at(coarse) + 4 * begin,
        ids: engine.indices(ids),
        count: ids.length,
        y: y.address,
      });
      return y;
    },
  };
}

function own(engine: Engine, coarse: CoarseStorage): WasmCoarse {
  if (!(coarse instanceof WasmCoarse) || coarse.engine !== engine) {
    throw deviceMixed("wasm", "a coarse copy", "make one on this device");
  }
  if (coarse.address === 0) throw storageFreed("wasm", "a coarse copy");
  return coarse;
}

/** gamma_{K+1} and kappa, for inner size K. */
function roundings(k: number): { readonly exact: number; readonly coarse: number } {
  return { exact: gamma(k + 1), coarse: gamma(Math.ceil(k / SEGMENT) + 3) + 2 * UNIT };
}

function createCoarse(engine: Engine, packed: WasmPacked, bias: Storage | undefined): WasmCoarse | undefined {
  const { rows, columns: k, dtype, address: from } = packed;
  const bytes = coarseBytes(rows, k);
  const step = rowsAtOnce(k);
  const work = engine.work(4 * step * k + 64); // it may not fit
  const address = engine.memory.allocate(bytes);
  engine.wasm.fillZeros(address, bytes / 4);
  const { exact, coarse } = roundings(k);
  let mostNorm = 0;
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    const ids = engine.indices(Array.from({ length: count }, (_, i) => first + i));
    engine.wasm.unpackRows({ kind: ACROSS[dtype], w: from, k, ids, count, to: work });
    const most = engine.wasm.packCoarse({
      w: address,
      k,
      first,
      count,
      from: work,
      ofError: exact,
      ofNorm: exact + coarse,
    });
    mostNorm = Math.max(mostNorm, most);
  }
  const mostBias = bias === undefined ? 0 : largest(engine, bias);
  if (!(mostNorm < Infinity && mostBias < MOST)) {
    engine.memory.free(address, bytes);
    return undefined;
  }
  return new WasmCoarse(engine, rows, k, bytes, bias, mostNorm * ROOM, mostBias, address);
}

/** NaN if a value is. */
function largest(engine: Engine, storage: Storage): number {
  const { address, length } = engine.own(storage);
  return engine.memory.f32.subarray(address / 4, address / 4 + length).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
}

function boundsOf(
  engine: Engine,
  x: number,
  coarse: WasmCoarse,
  rows: number,
  dots: boolean,
): ProductBounds | undefined {
  const { rows: n, columns: k, address: w, bias } = coarse;
  const stateBytes = engine.wasm.coarseStateBytes(k);
  const states = engine.allocate((rows * stateBytes) / 4);
  for (let r = 0; r < rows; r++) {
    if (writeState(engine, x + 4 * r * k, states.address + r * stateBytes, coarse, dots)) continue;
    engine.free(states);
    return undefined;
  }
  const lower = engine.allocate(rows * n);
  const upper = engine.allocate(rows * n);
  const given = { w, bias: engine.atOrNone(bias), x: states.address, n, k, rows };
  const bounds = { lower: lower.address, upper: upper.address };
  engine.share("coarseBounds", { ...given, ...bounds }, { items: panelsOf(n), us: (rows * n * k) / WEIGHTS_PER_US });
  engine.free(states);
  return { lower, upper };
}

/**
 * Writes a state's integers and limits to `to`, in the layout of kernels/screening/coarse.as.ts; quads of seven bits
 * for dots or pairs. False if the state can have no bounds.
 */
function writeState(
  { memory: { f32 } }: Engine,
  x: number,
  to: number,
  { columns: k, mostNorm, mostBias }: WasmCoarse,
  dots: boolean,
): boolean {
  const values = f32.subarray(x / 4, x / 4 + k);
  const state = stateAt(f32.buffer, to, k);
  let squares = 0;
  let missed = 0;
  for (let first = 0, segment = 0; first < k; first += SEGMENT, segment++) {
    const end = Math.min(k, first + SEGMENT);
    const step = stepOf(values.subarray(first, end));
    let wide = 0;
    for (let start = first; start < end; start += 4) {
      let isWide = !dots;
      const entry = (segment * SEGMENT) / 4 + wide;
      for (let i = start; i < start + 4; i++) {
        const value = i < end ? values[i]! : 0;
        const level = step === 0 ? 0 : Math.max(-FOURTEEN_BITS, Math.min(FOURTEEN_BITS, Math.round(value / step)));
        squares += value * value;
        missed += (value - level * step) ** 2;
        if (Math.abs(level) > SEVEN_BITS) isWide = true;
        state.narrow[i] = level + SEVEN_BITS + 1;
        state.wide[8 * entry + i - start] = level;
      }
      if (!isWide) continue;
      state.narrow.fill(SEVEN_BITS + 1, start, start + 4);
      state.offsets[4 * entry + 2] = 16 * start;
      wide++;
    }
    state.steps[4 * segment] = step;
    state.counts[4 * segment + 1] = wide;
  }
  const norm = Math.sqrt(squares); // |x|, NaN or Infinity if a value is
  const { exact, coarse } = roundings(k);
  const rho = Math.sqrt(missed) * (1 + coarse);
  const delta = mostBias * (exact + coarse) + (mostNorm + k + 2) * 2 ** -140;
  state.limits.set([norm, rho, delta].map((limit) => limit * ROOM + 2 ** -140));
  return mostNorm * norm + mostBias < MOST; // false if either is not finite
}

/** Of the panels that hold these entries, ascending. */
function bytesAt(weight: PackedStorage, ids: ArrayLike<number>): number {
  if (!(weight instanceof WasmPacked)) throw deviceMixed("wasm", "a weight matrix", "load the model on this one");
  let panels = 0;
  for (let i = 0; i < ids.length; i++) {
    if (i === 0 || ids[i]! >> 4 !== ids[i - 1]! >> 4) panels++;
  }
  return (panels * weight.bytes) / panelsOf(weight.rows);
}
