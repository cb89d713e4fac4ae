/**
 * Products. A dot product of length K in float32 is off by at most about K units times Σ|a||b|, in any order of
 * addition; four times that is allowed. The sums of absolute values come from the same kernel of the reference device,
 * given absolute values.
 */
import { type Kernels, type WeightDtype, weightDtypes } from "../../../src/tensor/device.js";
import { quantizeRow } from "../../../src/tensor/reference/integer-products.js";
import type { ReferencePacked } from "../../../src/tensor/reference/floats.js";
import {
  absolute,
  type AnyLaw,
  type BoundContext,
  law,
  type LawDevice,
  rowOf,
  rowsIn,
  seeds,
  sum,
  sumUnits,
  UNIT,
  unitsOf,
  values,
} from "./law.js";
import { between, type Drawn, fc } from "../../support/property.js";
import { times } from "../../support/lists.js";

/** Mostly small and odd; sometimes across the sizes at which the kernels block. */
const size = fc.oneof(
  { weight: 6, arbitrary: between(1, 40) },
  { weight: 1, arbitrary: fc.constantFrom(64, 129, 257, 300) },
);

const matmulCases = fc
  .record({
    m: size,
    n: size,
    k: size,
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
    seed: seeds,
  })
  .map(({ seed, ...dims }) => ({
    dims,
    a: values(seed, "a", dims.m * dims.k),
    b: values(seed, "b", dims.k * dims.n),
  }));
type MatmulCase = Drawn<typeof matmulCases>;

const runMatmul = (device: LawDevice, { dims, a, b }: MatmulCase) => ({
  y: device.kernels.matmul(device.upload(a), device.upload(b), dims),
});

const rowCounts = fc.oneof(
  { weight: 5, arbitrary: between(0, 9) },
  { weight: 1, arbitrary: fc.constantFrom(16, 17, 33, 150) },
);
export const linearCases = (dtype: WeightDtype) =>
  fc
    .record({
      rows: rowCounts,
      n: size,
      k: size,
      seed: seeds,
      bias: fc.boolean(),
      residual: fc.boolean(),
      chunk: between(1, 50),
      flat: fc.nat(5),
    })
    .map(({ rows, n, seed, bias, residual, chunk, flat, ...size }) => {
      // One case in six is long and all ones: the largest sums that quantized products can have.
      const k = flat === 0 ? 1300 : size.k;
      const data = (name: string, length: number): Float32Array =>
        flat === 0 ? new Float32Array(length).fill(1) : values(seed, name, length);
      return {
        dtype,
        rows,
        n,
        k,
        chunk, // W arrives in chunks of this many rows
        x: data("x", rows * k),
        w: data("w", n * k),
        bias: bias ? values(seed, "bias", n) : undefined,
        residual: residual ? values(seed, "residual", rows * n) : undefined,
      };
    });

type LinearCase = Drawn<ReturnType<typeof linearCases>>;

/** Cases of weights in one piece. */
const sizedCases = (n: number, sizes: { rows: fc.Arbitrary<number>; k: fc.Arbitrary<number> }, withBias: boolean) =>
  fc
    .record({ ...sizes, dtype: fc.constantFrom(...weightDtypes), seed: seeds, residual: fc.boolean() })
    .map(({ dtype, rows, k, seed, residual }) => ({
      dtype,
      rows,
      n,
      k,
      chunk: n,
      x: values(seed, "x", rows * k),
      w: values(seed, "w", n * k),
      bias: withBias ? values(seed, "bias", n) : undefined,
      residual: residual ? values(seed, "residual", rows * n) : undefined,
    }));

/**
 * So many weights that few rows read them at one place, two or four, whichever is tried next, ragged at every end.
 */
export const streamedCases = sizedCases(541, { rows: between(1, 9), k: fc.constant(487) }, true);

/** So many rows and inner indices that both are cut into blocks, with every rest of a group of rows; ragged ends. */
const blockedCases = sizedCases(
  27,
  { rows: fc.constantFrom(17, 18, 19, 20, 21, 22, 131), k: fc.constantFrom(770, 61) },
  false,
);

type Packed = ReturnType<LawDevice["createPacked"]>;

/** The last matrix of each device: rows of a case, one by one, take the same. */
const lastPacked = new WeakMap<Kernels, { readonly w: Float32Array; readonly dtype: WeightDtype; packed: Packed }>();

export function pack(device: LawDevice, w: Float32Array, n: number, k: number, dtype: WeightDtype, chunk = n) {
  const last = lastPacked.get(device.kernels);
  if (last?.w === w && last.dtype === dtype) return last.packed;
  if (last !== undefined) device.freePacked(last.packed);
  const packed = device.createPacked(n, k, dtype);
  for (let row = 0; row < n; row += chunk) {
    device.packRows(packed, row, w.subarray(row * k, Math.min(n, row + chunk) * k));
  }
  lastPacked.set(device.kernels, { w, dtype, packed });
  return packed;
}

export function runLinear(device: LawDevice, { dtype, rows, n, k, x, w, bias, residual, chunk }: LinearCase) {
  const y = device.kernels.linear(
    device.upload(x),
    pack(device, w, n, k, dtype, chunk),
    rows,
    bias && device.upload(bias),
    residual && device.upload(residual),
  );
  return { y };
}

const linearRows = rowsIn("x", "residual");

/**
 * Largest effect of rounded activations on a product of integer weights with float32 ones: half a
 * step of each activation, and the rounding of sums.
 */
function roundedActivations(c: LinearCase, reference: BoundContext["reference"]) {
  const { data: w } = pack(reference, c.w, c.n, c.k, c.dtype) as ReferencePacked;
  const bits = c.dtype === "int4" ? 4 : 8;
  return times(c.rows, (r) => {
    const { scales } = quantizeRow(c.x, r * c.k, c.k, bits);
    return times(c.n, (n) => {
      let size = Math.abs(c.bias?.[n] ?? 0) + Math.abs(c.residual?.[r * c.n + n] ?? 0);
      let steps = 0;
      for (let k = 0; k < c.k; k++) {
        const weight = Math.abs(w[n * c.k + k]!);
        size += weight * Math.abs(c.x[r * c.k + k]!);
        steps += (weight * scales[Math.floor(k / 32)]!) / 2;
      }
      return 4 * (c.k + 2) * UNIT * (size + steps) + steps;
    });
  }).flat();
}

const linearLaw = (variant: string, cases: fc.Arbitrary<LinearCase>) =>
  law({
    kernel: "linear",
    variant,
    cases,
    run: runLinear,
    bounds(c, { reference, tolerances }) {
      if (c.dtype === "int8" || c.dtype === "int4") {
        return tolerances.integerProducts === "exact" ? {} : { y: roundedActivations(c, reference) };
      }
      const magnitude = {
        ...c,
        x: absolute(c.x),
        w: absolute(c.w),
        bias: c.bias && absolute(c.bias),
        residual: c.residual && absolute(c.residual),
      };
      return { y: unitsOf(runLinear(reference, magnitude).y, 4 * (c.k + 2)) }; // Σ|x||w| + |bias| + |residual|
    },
    rows: linearRows,
  });

const backwardLaw = (dtype: WeightDtype) =>
  law<LinearCase>({
    kernel: "linearBackward",
    variant: dtype,
    cases: linearCases(dtype).map((c) => ({
      ...c,
      x: c.residual ?? values(c.n, "dy", c.rows * c.n),
      residual: undefined,
      bias: undefined,
    })),
    run: (device, { rows, n, k, x, w, chunk }) => ({
      dx: device.kernels.linearBackward(device.upload(x), pack(device, w, n, k, dtype, chunk), rows),
    }),
    bounds(c, { reference }) {
      const sizes = dtype === "int4" ? termSizes(c) : absolute(c.w);
      const packed = pack(reference, sizes, c.n, c.k, "float32");
      return { dx: unitsOf(reference.kernels.linearBackward(absolute(c.x), packed, c.rows), 4 * (c.n + 1)) };
    },
    rows: linearRows,
  });

/**
 * A weight of four bits is a multiple of its group's scale plus its group's minimum. Both may be far larger than their
 * sum, and so is the rounding of each: three times the largest weight of the group bounds their sizes together.
 */
function termSizes({ w, k }: LinearCase) {
  const sizes = new Float32Array(w.length);
  for (let start = 0, end; start < w.length; start = end) {
    end = start + Math.min(32, k - (start % k));
    sizes.fill(3 * Math.max(...absolute(w.subarray(start, end))), start, end);
  }
  return sizes;
}

export const productLaws: readonly AnyLaw[] = [
  law({
    kernel: "matmul",
    cases: matmulCases,
    run: runMatmul,
    bounds({ dims, a, b }, { reference }) {
      return { y: unitsOf(runMatmul(reference, { dims, a: absolute(a), b: absolute(b) }).y, 4 * dims.k) };
    },
    rows: {
      count: ({ dims }) => (dims.transposeA ? 0 : dims.m),
      pick: (c, row) => ({ ...c, dims: { ...c.dims, m: 1 }, a: rowOf(c.a, row, c.dims.m) }),
    },
  }),
  ...weightDtypes.map((dtype) => linearLaw(dtype, linearCases(dtype))),
  linearLaw("streamed", streamedCases),
  linearLaw("blocked", blockedCases),
  ...weightDtypes.map(backwardLaw),
  ...weightDtypes.map((dtype) =>
    law({
      kernel: "gatherPacked",
      variant: dtype,
      cases: linearCases(dtype).map((c) => ({
        ...c,
        ids: times(c.rows, (i) => (i * 7 + c.k) % c.n),
      })),
      run: (device, { w, n, k, chunk, ids }) => ({
        y: device.kernels.gatherPacked(pack(device, w, n, k, dtype, chunk), ids),
      }),
    }),
  ),
  law({
    kernel: "sumSquares",
    cases: linearCases("float32"),
    run: (device, { w }) => ({ y: device.kernels.sumSquares(device.upload(w)) }),
    bounds: ({ w }) => ({ y: [(4 + sumUnits(w.length)) * UNIT * sum(w, (value) => value * value)] }),
  }),
];
