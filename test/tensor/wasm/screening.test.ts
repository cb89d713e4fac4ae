/**
 * Bounds from a coarse copy hold for every entry of the product that `linear` computes, whatever the state: random,
 * tied, huge, denormal, or aligned with the rounding error of a row, where the bound is met with equality. So the
 * candidates hold the k largest entries, ties included, and `linearAt` gives their bits.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { nodeHost } from "../../../src/node/host.js";
import { coarseBytes } from "../../../src/tensor/coarse-bytes.js";
import { createRng } from "../../../src/tensor/rng.js";
import { roundRow } from "../../../src/tensor/round-row.js";
import { createWasmDevice, type WasmDevice } from "../../../src/tensor/wasm/wasm-device.js";
import { times } from "../../support/lists.js";
import { between, casesHere, type Drawn, fc, test } from "../../support/property.js";

const RUNS = casesHere(150);
const ROWS = ["random", "twins", "neighbours", "lattice", "huge", "denormal", "uneven", "zero"] as const;
const STATES = [
  "random",
  "a row",
  "error of a row",
  "one-hot",
  "outlier",
  "lattice",
  "huge",
  "denormal",
  "zero",
] as const;

const cases = fc.record({
  n: fc.oneof(between(1, 150), fc.constantFrom(16, 64, 400)),
  k: fc.oneof({ weight: 8, arbitrary: between(1, 70) }, fc.constantFrom(576, 2048, 2051)),
  rows: fc.constantFrom(...ROWS),
  states: fc.array(fc.constantFrom(...STATES), { minLength: 1, maxLength: 3 }),
  bias: fc.boolean(),
  dtype: fc.constantFrom("float32" as const, "bfloat16" as const),
  count: fc.constantFrom(1, 2, 5, 40),
  seed: fc.nat(),
});
type Case = Drawn<typeof cases>;

/** A float32 rounds the errors of such rows to a few bits, and such a state shows it. */
const tinyRows: Case = {
  n: 10,
  k: 2,
  rows: "denormal",
  states: ["huge"],
  bias: false,
  dtype: "float32",
  count: 1,
  seed: 0,
};

/** Weights [n, k]. */
function weightsOf({ n, k, rows, seed }: Case) {
  const rng = createRng(seed);
  const w = Float32Array.from({ length: n * k }, () => rng.normal());
  const scaled = (factor: (row: number) => number) => w.map((v, i) => v * factor(Math.floor(i / k)));
  switch (rows) {
    case "random":
      return w;
    case "twins": // rows in pairs of equals
      return w.map((_, i) => w[(Math.floor(i / k) & ~1) * k + (i % k)]!);
    case "neighbours": // all rows the same but for the last bits
      return w.map((v, i) => w[i % k]! * (1 + 2 ** -22 * Math.round(v)));
    case "lattice":
      return w.map((v) => Math.round(v));
    case "huge":
      return scaled(() => 1e15);
    case "denormal":
      return scaled(() => 1e-42);
    case "uneven":
      return scaled((row) => 10 ** ((row % 13) - 6));
    case "zero":
      return scaled((row) => row % 2);
  }
}

/** A state [k]. */
function stateOf({ n, k, seed }: Case, w: Float32Array, kind: (typeof STATES)[number], index: number) {
  const rng = createRng(seed + 1 + index);
  const x = Float32Array.from({ length: k }, () => rng.normal());
  const row = Math.floor(rng.uniform() * n);
  const own = w.slice(row * k, (row + 1) * k);
  switch (kind) {
    case "random":
      return x;
    case "a row":
      return own;
    case "error of a row": {
      const coarse = roundRow(own, "int8");
      const error = own.map((v, i) => v - coarse[i]!);
      const largest = error.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      // seven bits hold it, in steps of 1: several quads reach 63
      return largest === 0 ? x : error.map((v) => Math.max(-63, Math.min(63, Math.round((90 * v) / largest))));
    }
    case "one-hot":
      return x.map((_, i) => Number(i === row % k));
    case "outlier":
      return x.map((v, i) => (i === row % k ? 1000 * v : v));
    case "lattice":
      return x.map((v) => Math.round(v));
    case "huge":
      return x.map((v) => v * 1e15);
    case "denormal":
      return x.map((v) => v * 1e-43);
    case "zero":
      return x.map(() => 0);
  }
}

/** The law's findings for one case; `narrow` multiplies the widths of the bounds. */
async function problems(device: WasmDevice, given: Case, narrow = 1) {
  const { n, k, states, bias: hasBias, dtype, count, seed } = given;
  const screening = device.screening!;
  const w = weightsOf(given);
  const rng = createRng(seed + 9);
  const weight = device.createPacked(n, k, dtype);
  device.packRows(weight, 0, w);
  const bias = hasBias ? device.upload(times(n, () => rng.normal())) : undefined;
  const stored = await device.readPacked(weight);
  const x = states.flatMap((kind, i) => [...stateOf(given, stored, kind, i)]);
  const at = device.upload(x);
  const product = device.kernels.linear(at, weight, states.length, bias, undefined);
  const y = await device.read(product);
  const coarse = screening.createCoarse(weight, bias)!;
  const bounds = screening.bounds(at, coarse, states.length)!;
  const found: string[] = [];
  const lower = await device.read(bounds.lower);
  const upper = await device.read(bounds.upper);
  for (const [i, value] of y.entries()) {
    const middle = lower[i]! / 2 + upper[i]! / 2;
    const half = (upper[i]! / 2 - lower[i]! / 2) * narrow;
    const inside = narrow === 1 ? lower[i]! <= value && value <= upper[i]! : Math.abs(value - middle) <= half;
    if (!inside) found.push(`entry ${i}: ${value} is outside [${lower[i]}, ${upper[i]}]`);
  }
  for (const r of states.keys()) {
    const row = y.subarray(r * n, (r + 1) * n);
    const ids = screening.mayBeLargest(bounds, r, { width: n, count: Math.min(count, n), capacity: n })!;
    const least = row.toSorted().at(-Math.min(count, n))!;
    const missing = [...row.keys()].filter((id) => row[id]! >= least && !ids.includes(id));
    if (missing.length > 0) found.push(`row ${r}: ${missing.join()} are no candidates for the largest ${count}`);
    const one = device.upload(x.slice(r * k, (r + 1) * k));
    const entries = screening.linearAt(one, weight, ids, bias);
    const exact = await device.read(entries);
    if (!ids.every((id, i) => Object.is(exact[i], row[id]))) found.push(`row ${r}: linearAt differs from linear`);
    for (const storage of [one, entries]) device.free(storage);
  }
  for (const storage of [at, product, bounds.lower, bounds.upper, ...(bias ? [bias] : [])]) device.free(storage);
  device.freePacked(weight);
  screening.freeCoarse(coarse);
  return found;
}

describe.each(["relaxed", "portable"] as const)("screening in the %s build", (build) => {
  let device: WasmDevice;
  const packed = (n: number, k: number, rows: Float32Array) => {
    const weight = device.createPacked(n, k, "float32");
    device.packRows(weight, 0, rows);
    return weight;
  };
  beforeAll(async () => {
    device = await createWasmDevice({ host: nodeHost, build });
  });

  test.prop([cases], { numRuns: RUNS, examples: [[tinyRows]] })(
    "bounds every entry, keeps the largest among the candidates, and computes their bits",
    async (given) => expect(await problems(device, given)).toEqual([]),
  );

  it("has bounds that are met: half as wide, they fail the law", async () => {
    const given: Case = { ...tinyRows, n: 40, k: 64, rows: "random", states: ["error of a row"], seed: 1 };
    expect(await problems(device, given)).toEqual([]);
    expect(await problems(device, given, 0.5)).not.toEqual([]);
  });

  it("has bounds that are met where the state was rounded, too", async () => {
    const [n, k] = [20, 64];
    const rng = createRng(5);
    const signs = times(k, () => (rng.uniform() < 0.5 ? -1 : 1));
    const rows = Float32Array.from({ length: n * k }, (_, i) => signs[i % k]!); // a coarse copy is exact
    const weight = packed(n, k, rows);
    const coarse = device.screening!.createCoarse(weight)!;
    // the step is 1: one of four values is the largest of seven bits, and the others are rounded towards zero
    const x = device.upload(signs.map((sign, i) => sign * (i % 4 === 0 ? 63 : 20.49)));
    const y = await device.read(device.kernels.linear(x, weight, 1, undefined, undefined));
    const bounds = device.screening!.bounds(x, coarse, 1)!;
    const [lower, upper] = [await device.read(bounds.lower), await device.read(bounds.upper)];
    for (const [i, value] of y.entries()) {
      expect(value).toBeLessThanOrEqual(upper[i]!);
      expect(value).toBeGreaterThan(0.9 * upper[i]! + 0.1 * lower[i]!);
    }
  });

  it("has no bounds for a state that is not finite or may overflow, and no copy of such weights", () => {
    const filled = (value: number) => device.screening!.createCoarse(packed(16, 4, new Float32Array(64).fill(value)));
    const coarse = filled(1e20)!;
    for (const value of [NaN, Infinity, 1e20]) {
      expect(device.screening!.bounds(device.upload([1, value, 0, 0]), coarse, 1)).toBeUndefined();
    }
    for (const value of [NaN, Infinity, 1e35]) expect(filled(value)).toBeUndefined();
  });

  it("gives up beyond the capacity, and frees what it made", () => {
    const used = device.memory().used;
    const weight = packed(64, 4, new Float32Array(256)); // all entries are equal
    const x = device.upload([1, 2, 3, 4]);
    const coarse = device.screening!.createCoarse(weight)!;
    const bounds = device.screening!.bounds(x, coarse, 1)!;
    const search = { width: 64, count: 1 };
    expect(device.screening!.mayBeLargest(bounds, 0, { ...search, capacity: 63 })).toBeUndefined();
    expect(device.screening!.mayBeLargest(bounds, 0, { ...search, capacity: 64 })).toHaveLength(64);
    expect(coarse.bytes).toBe(coarseBytes(64, 4));
    for (const storage of [x, bounds.lower, bounds.upper]) device.free(storage);
    device.screening!.freeCoarse(coarse);
    device.freePacked(weight);
    expect(device.memory().used).toBe(used);
  });
});
