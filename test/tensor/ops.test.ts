/**
 * Results of the ops: golden numbers made with scipy, numpy and mpmath, the stability of everything logarithmic, frozen
 * weights, and the errors for shapes that do not fit. Gradients: gradients.test.ts; golden numbers of the losses and
 * scores (the method, sections 3 and 4): test/exits/heads/score.test.ts.
 */
import { describe, expect, it } from "vitest";
import { backward } from "../../src/tensor/autograd.js";
import { type Device, ROW_STATS, weightDtypes } from "../../src/tensor/device.js";
import { add, mul, sub } from "../../src/tensor/ops/arithmetic.js";
import { argmax, mean, rowStats, sum } from "../../src/tensor/ops/reduce.js";
import { causalAttention } from "../../src/tensor/ops/attention.js";
import { columns, concatRows, reshape, sliceRows, takeAlongRows } from "../../src/tensor/ops/select.js";
import { crossEntropy, klDivergence } from "../../src/tensor/ops/loss.js";
import { embedding } from "../../src/tensor/ops/embedding.js";
import { gelu, geluTanh, relu, silu, swiglu } from "../../src/tensor/ops/activation.js";
import { layerNorm, rmsNorm } from "../../src/tensor/ops/norm.js";
import { linear, matmul } from "../../src/tensor/ops/matmul.js";
import { logSoftmax, softmax } from "../../src/tensor/ops/softmax.js";
import { rope } from "../../src/tensor/ops/rope.js";
import { erfc } from "../../src/tensor/reference/elementwise.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { bf16ToFloat32, float32ToBf16 } from "../../src/tensor/formats/half-floats.js";
import { PackedMatrix, Tensor } from "../../src/tensor/tensor.js";
import { drawValues, valuesOf } from "../support/gradients.js";
import { sumOf } from "../support/lists.js";
import { fc, real, test } from "../support/property.js";

const single = createReferenceDevice();
const double = createReferenceDevice({ float64: true });
const float32 = (data: ArrayLike<number>, shape?: number[], options?: object) =>
  Tensor.from(single, data, shape, options);
const list = (tensor: Tensor) => Array.from(valuesOf(tensor));

/** Golden numbers are printed with this many decimals; a float32 result adds one rounding of its own. */
const printed = (decimals: number, value: number, device: Device) =>
  0.5000001 * 10 ** -decimals + (device === single ? 2 ** -24 * Math.abs(value) : 0);

function expectGolden(device: Device, found: Tensor, golden: readonly number[], decimals: number) {
  expect(found.size).toBe(golden.length);
  golden.forEach((value, i) =>
    expect(Math.abs(list(found)[i]! - value), `element ${i}: ${list(found)[i]} against ${value}`).toBeLessThanOrEqual(
      printed(decimals, value, device),
    ),
  );
}

describe.each([
  ["float64", double],
  ["float32", single],
] as const)("golden numbers, %s", (_, device) => {
  const t = Tensor.from(device, [1, 2, 3, 4]);

  test("KL of equal logits, or of logits that differ by a constant, is 0", () => {
    expect(list(klDivergence(t, t))).toEqual([0]);
    expect(Math.abs(list(klDivergence(t, add(t, Tensor.from(device, [100]))))[0]!)).toBeLessThanOrEqual(
      4 * 104 * 2 ** -53,
    ); // four lse near 104
  });

  test("erf-gelu, tanh-gelu, silu, relu and swiglu", () => {
    const x = Tensor.from(device, [-2, -0.5, 0, 1, 3]); // all are float32 numbers
    expectGolden(device, gelu(x), [-0.045500263896, -0.154268769363, 0, 0.841344746069, 2.995950305905], 12);
    expectGolden(device, geluTanh(x), [-0.045402305912, -0.154285990175, 0, 0.841191990608, 2.996362607918], 12);
    expectGolden(device, silu(x), [-0.238405844044, -0.188770334399, 0, 0.73105857863, 2.857722380467], 12);
    expect(list(relu(x))).toEqual([0, 0, 0, 1, 3]);
    expectGolden(device, swiglu(Tensor.from(device, [-2, 3, 2, 0.5])), [2 * -0.238405844044, 0.5 * 2.857722380467], 11);
  });

  test("layerNorm and rmsNorm", () => {
    const x = Tensor.from(device, [1, 2, 4]);
    const gain = Tensor.from(device, [1, 2, -1]);
    const bias = Tensor.from(device, [0, 1, 0.5]);
    expectGolden(device, layerNorm(x, gain, bias, 0.5), [-0.92998111, 0.535009445, -0.662476387], 9);
    expectGolden(device, rmsNorm(x, gain, 0.5), [0.365148372, 1.460593487, -1.460593487], 9);
    expectGolden(device, layerNorm(x, gain), [-1.069041531, -0.534520766, -1.336301914], 9);
  });
});

describe("rows of logits", () => {
  const logits = fc.array(real(-1000, 1000), { minLength: 1, maxLength: 40 });

  test.prop([logits])("softmax rows sum to 1, exp(logSoftmax) is softmax, at up to ±1000", (z) => {
    const x = Tensor.from(double, z);
    const p = list(softmax(x));
    // exp amplifies the rounding of x - lse, at most 2000 · 2⁻⁵³ per term, twice.
    const tolerance = 2 * 2000 * 2 ** -53 + z.length * 2 ** -53;
    expect(Math.abs(sumOf(p) - 1)).toBeLessThanOrEqual(tolerance);
    list(logSoftmax(x)).forEach((value, i) => expect(Math.abs(Math.exp(value) - p[i]!)).toBeLessThanOrEqual(tolerance));
    const rounded = list(softmax(float32(z)));
    // each p off by p·2⁻²⁴, and Σp = 1
    expect(Math.abs(sumOf(rounded) - 1)).toBeLessThanOrEqual(tolerance + 2 ** -24);
  });

  it("the entropy of a row with NaN is NaN, and so is its KL from or to another", () => {
    const [broken, whole] = [Tensor.from(double, [1, NaN]), Tensor.from(double, [1, 2])];
    expect(list(rowStats(broken))[ROW_STATS.entropy]).toBeNaN();
    expect([klDivergence(broken, whole), klDivergence(whole, broken)].map(list)).toEqual([[NaN], [NaN]]);
  });

  test.prop([fc.array(real(-20, 20), { minLength: 2, maxLength: 30 })])(
    "statistics are those of the definition: sorted values, Σexp, -Σ p log p",
    (z) => {
      const stats = list(rowStats(Tensor.from(double, z)));
      const sorted = z.toSorted((a, b) => b - a);
      const lse = Math.log(sumOf(z, (value) => Math.exp(value)));
      const tolerance = 64 * (z.length + 20) * 2 ** -53; // z.length + 20 terms and roundings, values below 64
      expect([stats[ROW_STATS.top1], stats[ROW_STATS.top2]].map((value) => value! + 0)).toEqual([
        sorted[0]! + 0,
        sorted[1]! + 0,
      ]);
      expect(stats[ROW_STATS.argmax]).toBe(z.findIndex((value) => value === sorted[0]));
      expect(Math.abs(stats[ROW_STATS.logSumExp]! - lse)).toBeLessThanOrEqual(tolerance);
      const entropy = -sumOf(z, (value) => Math.exp(value - lse) * (value - lse));
      expect(Math.abs(stats[ROW_STATS.entropy]! - entropy)).toBeLessThanOrEqual(tolerance);
    },
  );

  test("the lowest id wins a tie, wherever the tie is", async () => {
    expect(await argmax(float32([5, 5, 5, 1, 7, 7, -3, -3, -4, 0, -0, -1], [4, 3]))).toEqual([0, 1, 0, 0]);
    const stats = list(rowStats(float32([2, 9, 9, 1])));
    // a tie has margin 0
    expect([stats[ROW_STATS.argmax], stats[ROW_STATS.top1], stats[ROW_STATS.top2]]).toEqual([1, 9, 9]);
  });

  test("a single class has entropy 0 and no second value", () =>
    expect(list(rowStats(float32([3], [1, 1])))).toEqual([0, 3, -Infinity, 3, 0]));

  test("classes ruled out by -Infinity have probability 0 and cost nothing", () => {
    const z = Tensor.from(double, [-Infinity, 1, 1]);
    expect(list(softmax(z))[0]).toBe(0);
    expect(list(rowStats(z))[ROW_STATS.entropy]).toBeCloseTo(Math.LN2, 15);
    expect(list(klDivergence(z, Tensor.from(double, [5, 1, 1])))[0]).toBeGreaterThan(0);
  });

  test("nothing is NaN at ±1000, forward or backward", () => {
    const extreme = [
      [1000, -1000, 0],
      [-1000, -1000, -1000],
      [1000, 1000, 1000],
      [1000, 0, -0],
      [-1000, 999, 1000],
      [0, 0, -1000],
    ];
    const shape = [extreme.length, 3];
    const teacher = float32(extreme.flat(), shape);
    const other = () => float32(extreme.toReversed().flat(), shape, { requiresGrad: true });
    const ops: [string, (x: Tensor) => Tensor][] = [
      ["softmax", softmax],
      ["logSoftmax", logSoftmax],
      ["rowStats", rowStats],
      ["crossEntropy", (x) => crossEntropy(x, [0, 1, 2, -1, 0, 2])],
      ["klDivergence", (x) => klDivergence(teacher, x)],
      ["softened klDivergence", (x) => klDivergence(teacher, x, { temperature: 0.1 })],
      ["gelu", gelu],
      ["geluTanh", geluTanh],
      ["silu", silu],
      ["relu", relu],
      ["swiglu", (x) => swiglu(reshape(x, [3, 6]))],
      ["layerNorm", (x) => layerNorm(x, float32([1, 1, 1]))],
      ["rmsNorm", (x) => rmsNorm(x, float32([1, 1, 1]))],
      ["causalAttention", (x) => causalAttention(x, x, x, { heads: 3, kvHeads: 3 })],
    ];
    for (const [name, op] of ops) {
      const x = other();
      const y = op(x);
      expect(
        list(y).filter((value) => !Number.isFinite(value)),
        name,
      ).toEqual([]);
      if (!y.requiresGrad) continue;
      backward(sum(y));
      expect(
        list(x.grad!).filter((value) => !Number.isFinite(value)),
        `${name} backward`,
      ).toEqual([]);
    }
  });

  test("a masked row has loss 0, and changes no other row", () => {
    const z = Tensor.from(double, [1, 2, 3, 4, 5, 6, 9, 0, 1], [3, 3]);
    const whole = list(crossEntropy(z, [0, 1, 2]));
    expect(list(crossEntropy(z, [0, -1, 2]))).toEqual([whole[0], 0, whole[2]]);
  });
});

describe("erfc", () => {
  /** Documented: relative error below 1e-13. Values by mpmath at 50 digits. */
  const KNOWN = [
    [-3, 1.99997790950300141],
    [-1, 1.84270079294971487],
    [-0, 1],
    [0, 1],
    [0.5, 0.479500122186953462],
    [1, 0.157299207050285131],
    [1.5, 0.0338948535246892729],
    [1.984375, 0.00501093394992650242],
    [2, 0.00467773498104726584],
    [2.25, 0.0014627165866811517],
    [2.4375, 0.000566543254580164906],
    [2.5, 0.00040695201744495894],
    [3, 2.20904969985854414e-5],
    [4, 1.54172579002800189e-8],
    [5, 1.53745979442803485e-12],
    [10, 2.08848758376254476e-45],
  ] as const;
  test.for(KNOWN)("erfc(%d) is %d", ([x, value]) => expect(Math.abs(erfc(x) - value) / value).toBeLessThan(1e-13));

  test("is symmetric about 1, never rises, and reaches 2 and 0", () => {
    expect([erfc(-Infinity), erfc(40), erfc(Infinity)]).toEqual([2, 0, 0]);
    expect(erfc(NaN)).toBeNaN();
    for (let x = -6; x < 27; x += 1 / 64) {
      expect(erfc(x + 1 / 64)).toBeLessThanOrEqual(erfc(x));
      expect(erfc(x) + erfc(-x)).toBeCloseTo(2, 14);
    }
  });
});

test("products matmul and linear match results worked out by hand", () => {
  const a = float32([1, 2, 3, 4, 5, 6], [2, 3]);
  const b = float32([7, 8, 9, 10, 11, 12], [3, 2]);
  expect(list(matmul(a, b))).toEqual([58, 64, 139, 154]);
  expect(matmul(a, b).shape).toEqual([2, 2]);
  expect(list(matmul(a, a, { transposeB: true }))).toEqual([14, 32, 32, 77]);
  expect(list(matmul(a, a, { transposeA: true }))).toEqual([17, 22, 27, 22, 29, 36, 27, 36, 45]);
  const bias = float32([100, 200]);
  const residual = float32([1, 2, 3, 4], [2, 2]);
  expect(list(linear(a, float32([1, 0, 0, 0, 0, 1], [2, 3]), { bias, residual }))).toEqual([102, 205, 107, 210]);
});

describe("frozen weights", () => {
  const data = drawValues(5, 6 * 8, { range: 3 });

  test("float32 keeps every bit, bfloat16 rounds to the nearest even", async () => {
    for (const [dtype, expected] of [
      ["float32", data],
      ["bfloat16", bf16ToFloat32(float32ToBf16(data))],
    ] as const) {
      const packed = PackedMatrix.from(single, data, [6, 8], dtype);
      expect(await packed.read()).toEqual(expected);
      expect(packed.storage.bytes).toBe(48 * (dtype === "float32" ? 4 : 2));
    }
  });

  test("int8 is within half a step (a group's largest / 127, as float16) of every value, and keeps zeros", async () => {
    const packed = PackedMatrix.from(single, data, [6, 8], "int8");
    const stored = await packed.read();
    for (let r = 0; r < 6; r++) {
      const row = data.subarray(8 * r, 8 * r + 8);
      const step = Math.max(...row.map(Math.abs)) / 127;
      row.forEach((value, j) =>
        expect(Math.abs(stored[8 * r + j]! - value)).toBeLessThanOrEqual(step * (0.5 + 127 * 2 ** -11)),
      ); // a scale rounded down cannot reach the largest value
    }
    expect(await PackedMatrix.from(single, new Float32Array(8), [1, 8], "int8").read()).toEqual(new Float32Array(8));
    expect(packed.storage.bytes).toBe(48 + 6 * 2);
  });

  test("embedding looks up the stored values, and linear multiplies by those that are no integers", async () => {
    for (const dtype of weightDtypes) {
      const packed = PackedMatrix.from(single, data, [6, 8], dtype);
      const stored = await packed.read();
      expect(list(embedding(packed, [5, 0, 5]))).toEqual(
        [5, 0, 5].flatMap((id) => Array.from(stored.subarray(8 * id, 8 * id + 8))),
      );
      if (dtype === "int8" || dtype === "int4") continue; // see integer-products.test.ts
      const x = float32(drawValues(6, 16), [2, 8]);
      expect(list(linear(x, packed))).toEqual(list(linear(x, float32(stored, [6, 8]))));
    }
  });
});

describe("sequences", () => {
  test("rope turns pairs by position times frequency, keeps lengths and leaves the rest alone", () => {
    const table = {
      cos: Tensor.from(double, [1, Math.cos(0.5)], [2, 1]),
      sin: Tensor.from(double, [0, Math.sin(0.5)], [2, 1]),
    };
    const x = Tensor.from(double, [1, 0, 7, 3, 4, 9], [1, 6]); // two heads of size 3, of which two dimensions turn
    expect(list(rope(x, [0], table, 2))).toEqual(list(x));
    const c = Math.cos(0.5);
    const s = Math.sin(0.5);
    expect(list(rope(x, [1], table, 2))).toEqual([c, s, 7, 3 * c - 4 * s, 4 * c + 3 * s, 9]);
  });

  test("causalAttention looks at itself and the past only", () => {
    const draw = (seed: number, width: number) => float32(drawValues(seed, 5 * width), [5, width]);
    const q = draw(1, 4);
    const k = draw(2, 2);
    const v = draw(3, 2);
    const whole = list(causalAttention(q, k, v, { heads: 2, kvHeads: 1 }));
    for (let t = 1; t <= 5; t++) {
      const [qt, kt, vt] = [q, k, v].map((x) => sliceRows(x, 0, t)) as [Tensor, Tensor, Tensor];
      expect(list(causalAttention(qt, kt, vt, { heads: 2, kvHeads: 1 }))).toEqual(whole.slice(0, 4 * t));
    }
    const [first, second] = list(v);
    expect(whole.slice(0, 4)).toEqual([first, second, first, second]);
  });
});

describe("parts and sums", () => {
  const x = float32([1, 2, 3, 4, 5, 6], [2, 3]);

  test("columns, rows, shapes and choices", () => {
    expect(list(columns(x, 1, 3))).toEqual([2, 3, 5, 6]);
    expect(columns(x, 1, 1).shape).toEqual([2, 0]);
    expect(list(sliceRows(x, 1, 2))).toEqual([4, 5, 6]);
    expect(list(concatRows([x, sliceRows(x, 0, 1)]))).toEqual([1, 2, 3, 4, 5, 6, 1, 2, 3]);
    expect(list(concatRows([sliceRows(x, 0, 1), sliceRows(x, 1, 2)]))).toEqual(list(x));
    expect([reshape(x, [3, 1, 2]).shape, list(reshape(x, [6]))]).toEqual([[3, 1, 2], list(x)]);
    expect(list(takeAlongRows(x, [2, 0, 1, 1], 2))).toEqual([3, 1, 5, 5]);
  });

  test("sum and mean over everything give shape [1], over an axis keep it with size 1", () => {
    expect([list(sum(x)), sum(x).shape, list(mean(x))]).toEqual([[21], [1], [3.5]]);
    expect([list(sum(x, { axis: 0 })), sum(x, { axis: 0 }).shape]).toEqual([
      [5, 7, 9],
      [1, 3],
    ]);
    expect([list(sum(x, { axis: -1 })), sum(x, { axis: -1 }).shape]).toEqual([
      [6, 15],
      [2, 1],
    ]);
  });

  test("binary ops broadcast like nested loops", () => {
    const column = float32([10, 20], [2, 1]);
    const row = float32([1, 2, 3]);
    expect(list(add(column, row))).toEqual([11, 12, 13, 21, 22, 23]);
    expect(list(sub(row, column))).toEqual([-9, -8, -7, -19, -18, -17]);
    expect(list(mul(x, float32([2], [])))).toEqual([2, 4, 6, 8, 10, 12]);
  });
});

describe("shapes that do not fit", () => {
  const of = (...shape: number[]) => float32(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const x = of(2, 3);
  const packed = PackedMatrix.from(single, new Float32Array(20), [5, 4]);
  const table = { cos: of(4, 1), sin: of(4, 1) };
  /** Each error has a code, and the first of a code names what it found: both shapes, or the value and its range. */
  const cases: [string, () => unknown, string, string[]?][] = [
    ["matmul with other inner sizes", () => matmul(x, of(4, 5)), "shape-inner", ["matmul", "[2, 3] x [4, 5]"]],
    ["matmul with other inner sizes once transposed", () => matmul(x, of(3, 5), { transposeB: true }), "shape-inner"],
    ["matmul of a stack", () => matmul(of(2, 1, 3), of(3, 1)), "shape-rank", ["[2, 1, 3]"]],
    ["matmul of a vector", () => matmul(of(3), x), "shape-rank"],
    ["linear with another inner size", () => linear(x, packed), "shape-inner"],
    ["linear with another bias", () => linear(of(2, 4), packed, { bias: of(4) }), "shape-bias", ["[5]", "[4]"]],
    [
      "linear with another residual",
      () => linear(of(2, 4), packed, { residual: of(5, 2) }),
      "shape-residual",
      ["[2, 5]", "[5, 2]"],
    ],
    ["add of shapes that do not broadcast", () => add(x, of(2)), "shape-broadcast", ["add", "[2, 3] and [2]"]],
    ["swiglu of an odd axis", () => swiglu(x), "shape-even", ["[2, 3]"]],
    ["softmax of a scalar", () => softmax(of()), "shape-rank"],
    ["layerNorm with another gain", () => layerNorm(x, of(2)), "shape-norm", ["layerNorm", "[2, 3]", "[2]"]],
    ["layerNorm with another bias", () => layerNorm(x, of(3), of(4)), "shape-norm"],
    ["rmsNorm with another gain", () => rmsNorm(x, of(3, 1)), "shape-norm"],
    [
      "rope with another number of positions",
      () => rope(of(2, 4), [0], table, 2),
      "shape-rope",
      ["[2, 4]", "1 positions"],
    ],
    ["rope past its table", () => rope(of(2, 4), [0, 4], table, 2), "shape-rope"],
    ["rope at a position between two", () => rope(of(1, 4), [0.5], table, 2), "shape-rope"],
    ["rope with sin unlike cos", () => rope(of(1, 4), [0], { cos: of(4, 1), sin: of(3, 1) }, 2), "shape-rope"],
    ["rope wider than the head", () => rope(of(1, 4), [0], table, 4), "shape-rope"],
    [
      "causalAttention with other keys",
      () => causalAttention(of(4, 4), of(4, 4), of(4, 2), { heads: 2, kvHeads: 1 }),
      "shape-attention",
      ["q [4, 4]", "k [4, 4]", "v [4, 2]"],
    ],
    [
      "causalAttention with rows that are no batch",
      () => causalAttention(of(3, 4), of(3, 4), of(3, 4), { batch: 2, heads: 2, kvHeads: 2 }),
      "shape-attention",
    ],
    [
      "causalAttention with heads that do not group",
      () => causalAttention(of(1, 6), of(1, 4), of(1, 4), { heads: 3, kvHeads: 2 }),
      "shape-attention",
    ],
    ["embedding of an id past the table", () => embedding(of(5, 2), [0, 5]), "index-range", ["id 5", "[0, 5)"]],
    ["embedding of half an id", () => embedding(of(5, 2), [0.5]), "index-range"],
    ["embedding from a vector", () => embedding(of(5), [0]), "shape-rank"],
    ["crossEntropy with too few targets", () => crossEntropy(x, [0]), "shape-targets", ["[2, 3]", "found 1"]],
    ["crossEntropy with a target past the classes", () => crossEntropy(x, [0, 3]), "index-range"],
    ["klDivergence of unlike logits", () => klDivergence(x, of(2, 4)), "shape-kl", ["[2, 3]", "[2, 4]"]],
    [
      "klDivergence at temperature 0",
      () => klDivergence(x, x, { temperature: 0 }),
      "option-range",
      ["temperature", "found 0"],
    ],
    ["columns past the end", () => columns(x, 1, 4), "index-range"],
    ["sliceRows the wrong way round", () => sliceRows(x, 2, 1), "index-range"],
    ["concatRows of nothing", () => concatRows([]), "shape-empty", ["nothing"]],
    ["concatRows of unlike widths", () => concatRows([x, of(2, 4)]), "shape-concat", ["[2, 3]", "[2, 4]"]],
    ["reshape to another size", () => reshape(x, [5]), "shape-size", ["[2, 3] has 6", "[5] has 5"]],
    ["takeAlongRows with too few ids", () => takeAlongRows(x, [0], 1), "shape-index", ["[2, 3]", "found 1"]],
    ["takeAlongRows of an id past the row", () => takeAlongRows(x, [0, 3], 1), "index-range"],
    ["takeAlongRows of half an id", () => takeAlongRows(x, [0, 0.5], 1), "index-range"],
    ["sum over an axis that is not there", () => sum(x, { axis: 2 }), "shape-axis", ["axis 2", "[2, 3]"]],
  ];
  test.for(cases)("%s is refused", ([, run, code, parts = []]) => {
    expect(run).toThrow(expect.objectContaining({ code }));
    for (const part of parts) expect(run).toThrow(part);
  });

  test("tensors of two devices are refused before any kernel runs", () => {
    const untouched: Device = {
      ...double,
      kernels: new Proxy(double.kernels, {
        get: (_, name) => () => {
          throw new Error(`${String(name)} was called`);
        },
      }),
    };
    const a = Tensor.from(untouched, [1, 2, 3, 4], [2, 2]);
    const b = float32([1, 2, 3, 4], [2, 2]);
    const v = Tensor.from(untouched, [1, 2]);
    const w = float32([1, 2]);
    const near = Tensor.from(untouched, [1], [1, 1]);
    const far = float32([1], [1, 1]);
    const frozen = PackedMatrix.from(single, Float32Array.of(1, 2, 3, 4), [2, 2]);
    const mixed = [
      () => add(a, b),
      () => matmul(a, b),
      () => linear(a, b),
      () => linear(a, frozen),
      () => linear(a, a, { bias: w }),
      () => linear(a, a, { residual: b }),
      () => layerNorm(a, v, w),
      () => rmsNorm(a, w),
      () => klDivergence(b, a),
      () => causalAttention(a, b, a, { heads: 1, kvHeads: 1 }),
      () => rope(a, [0, 0], { cos: near, sin: far }, 1),
      () => concatRows([a, b]),
    ];
    for (const run of mixed) {
      expect(run, String(run)).toThrow(expect.objectContaining({ name: "DeviceError", code: "device-mixed" }));
    }
  });
});
