/**
 * Every differentiable op's gradient equals central differences of the reference op in float64, at random shapes
 * (support/gradients.ts); and the rules of backward: accumulation, ownership, frozen inputs, deep graphs. fast-check
 * prints the seed and path that replay a failure.
 */
import { describe, expect } from "vitest";
import { backward, record } from "../../src/tensor/autograd.js";
import { add, detach, mul, scale, sub } from "../../src/tensor/ops/arithmetic.js";
import { causalAttention } from "../../src/tensor/ops/attention.js";
import { columns, reshape, takeAlongRows } from "../../src/tensor/ops/select.js";
import { crossEntropy, klDivergence } from "../../src/tensor/ops/loss.js";
import { embedding } from "../../src/tensor/ops/embedding.js";
import { gelu, geluTanh, relu, silu, swiglu } from "../../src/tensor/ops/activation.js";
import { layerNorm, rmsNorm, rmsNormHeads } from "../../src/tensor/ops/norm.js";
import { linear, matmul } from "../../src/tensor/ops/matmul.js";
import { logSoftmax, softmax } from "../../src/tensor/ops/softmax.js";
import { mean, sum } from "../../src/tensor/ops/reduce.js";
import { rope } from "../../src/tensor/ops/rope.js";
import { type Device, weightDtypes } from "../../src/tensor/device.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { createRng } from "../../src/tensor/rng.js";
import { type Shape, sizeOf } from "../../src/tensor/shape.js";
import { PackedMatrix, scope, Tensor } from "../../src/tensor/tensor.js";
import { expectCode } from "../support/expect-code.js";
import { checkGradients, drawValues, type GradientCheck, valuesOf } from "../support/gradients.js";
import { between, fc, test } from "../support/property.js";

const size = between(1, 4);
/** Leading axes: none, one or two; any of them may be 1. */
const leading = fc.array(between(1, 3), { maxLength: 2 });
const rowShape = fc.tuple(leading, between(1, 5)).map(([rows, width]) => [...rows, width]);

/** A test that the gradients of the op of every case are right. */
function law<T>(
  name: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  check: (drawn: T & { readonly seed: number }) => Omit<GradientCheck<string>, "seed">,
  numRuns = 40,
) {
  const cases = fc.record({ ...arbitraries, seed: fc.nat(2 ** 30) }) as unknown as fc.Arbitrary<T & { seed: number }>;
  test.prop([cases], { numRuns })(name, (drawn) => checkGradients({ ...check(drawn), seed: drawn.seed }));
}

/** Integers in [min, max), the same for every evaluation of the op. */
function drawIntegers(from: number, length: number, min: number, max: number) {
  const rng = createRng(from ^ 0x5eed);
  return Array.from({ length }, () => min + rng.integer(max - min));
}

describe("the check itself", () => {
  test("finds a gradient that is off by a millionth", () => {
    const skewed =
      (factor: number) =>
      ({ x }: { readonly x: Tensor }) =>
        record(x.device, x.device.kernels.scale(x.storage, 3), x.shape, [x], (dy) => [scale(dy, 3 * factor)]);
    expect(() => checkGradients({ seed: 1, inputs: { x: [3] }, op: skewed(1) })).not.toThrow();
    expect(() => checkGradients({ seed: 1, inputs: { x: [3] }, op: skewed(1 + 1e-6) })).toThrow(
      /central differences: the gradient of x at index 0/,
    );
  });

  test("finds a float32 gradient that is off by eight roundings", () => {
    const imprecise = ({ x }: { readonly x: Tensor }, { kernels }: Device) =>
      record(x.device, kernels.scale(x.storage, 1), x.shape, [x], (dy) => [
        scale(dy, valuesOf(dy) instanceof Float32Array ? 1 + 8 * 2 ** -24 : 1),
      ]);
    expect(() => checkGradients({ seed: 1, inputs: { x: [1] }, op: imprecise })).toThrow(
      /float32 backward against float64/,
    );
  });
});

describe("products", () => {
  law(
    "matmul, either factor transposed or not",
    { m: size, n: size, k: size, transposeA: fc.boolean(), transposeB: fc.boolean() },
    ({ m, n, k, transposeA, transposeB }) => ({
      inputs: { a: transposeA ? [k, m] : [m, k], b: transposeB ? [n, k] : [k, n] },
      op: ({ a, b }) => matmul(a!, b!, { transposeA, transposeB }),
    }),
    160,
  );

  for (const kind of ["trainable", ...weightDtypes] as const) {
    law(
      `linear with a weight that is ${kind}, with bias and residual or not`,
      { leading, n: size, k: size, withBias: fc.boolean(), withResidual: fc.boolean() },
      ({ seed, leading, n, k, withBias, withResidual }) => {
        const inputs: Record<string, Shape> = {
          x: [...leading, k],
          ...(kind === "trainable" && { weight: [n, k] }),
          ...(withBias && { bias: [n] }),
          ...(withResidual && { residual: [...leading, n] }),
        };
        const frozen = (device: Device) =>
          PackedMatrix.from(device, drawValues(seed ^ 7, n * k), [n, k], kind === "trainable" ? "float32" : kind);
        return {
          inputs,
          op: ({ x, weight, bias, residual }, device) => linear(x!, weight ?? frozen(device), { bias, residual }),
        };
      },
      kind === "trainable" ? 160 : 40,
    );
  }
});

describe("elementwise", () => {
  /** Two shapes that broadcast: each drops leading axes of a common shape and shrinks any axis to 1. */
  const pair = fc.array(between(1, 3), { maxLength: 3 }).chain((common) => {
    const operand = fc
      .tuple(fc.nat(common.length), fc.array(fc.boolean(), { minLength: common.length, maxLength: common.length }))
      .map(([dropped, shrunk]) => common.map((axis, i) => (shrunk[i] ? 1 : axis)).slice(dropped));
    return fc.tuple(operand, operand);
  });
  for (const op of [add, sub, mul]) {
    law(
      `${op.name}, broadcast both ways`,
      { shapes: pair },
      ({ shapes: [a, b] }) => ({ inputs: { a, b }, op: ({ a, b }) => op(a!, b!) }),
      100,
    );
  }

  for (const [name, op, gap] of [
    ["gelu", gelu, 0],
    ["geluTanh", geluTanh, 0],
    ["silu", silu, 0],
    ["relu, away from its corner at 0,", relu, 0.25],
    ["scale by a negative factor", (x: Tensor) => scale(x, -1.5), 0],
    ["scale by 0", (x: Tensor) => scale(x, 0), 0],
    ["scale by a share", (x: Tensor) => scale(x, 0.3), 0],
    ["softmax", softmax, 0],
    ["logSoftmax", logSoftmax, 0],
    ["reshape", (x: Tensor) => reshape(x, [1, x.size]), 0],
  ] as const) {
    law(name, { shape: rowShape }, ({ shape }) => ({ inputs: { x: shape }, gap, op: ({ x }) => op(x!) }));
  }

  law("swiglu", { leading, width: size }, ({ leading, width }) => ({
    inputs: { x: [...leading, 2 * width] },
    op: ({ x }) => swiglu(x!),
  }));
});

describe("rows", () => {
  // At epsilon >= 1 the poles of 1/√(variance + epsilon) stay 1 away, as FIFTH_DERIVATIVE supposes; at 1e-5 rows must
  // be spread out, which this example is.
  const epsilon = fc.constantFrom(1, 2);
  for (const [name, op, withBias] of [
    ["layerNorm", layerNorm, true],
    ["layerNorm without a bias", layerNorm, false],
    ["rmsNorm", (x: Tensor, gain: Tensor, _: unknown, epsilon?: number) => rmsNorm(x, gain, epsilon), false],
  ] as const) {
    const caseOf = (given: { readonly shape: Shape; readonly epsilon?: number }) => {
      const width = given.shape.slice(-1);
      const inputs: Record<string, Shape> = { x: given.shape, gain: width, ...(withBias && { bias: width }) };
      return { inputs, op: ({ x, gain, bias }: Record<string, Tensor>) => op(x!, gain!, bias, given.epsilon) };
    };
    law(name, { shape: rowShape, epsilon }, caseOf);
    test(`${name}, rows spread out`, () => checkGradients({ seed: 1, ...caseOf({ shape: [2, 8] }) }));
  }

  law("rmsNormHeads", { rows: size, heads: size, headDim: size, epsilon }, ({ rows, heads, headDim, epsilon }) => ({
    inputs: { x: [rows, heads * headDim], gain: [headDim] },
    op: ({ x, gain }) => rmsNormHeads(x!, gain!, epsilon),
  }));
});

/** cos and sin of position · frequency, rounded to float32 so that both devices turn by the same angle. */
function ropeTable(device: Device, positions: number, half: number) {
  const table = (of: (angle: number) => number) =>
    Tensor.from(
      device,
      Float32Array.from({ length: positions * half }, (_, i) => of(Math.floor(i / half) * 10 ** (-(i % half) / half))),
      [positions, half],
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

describe("sequences", () => {
  law(
    "rope, partial and full",
    { rows: size, heads: size, headDim: size, half: fc.nat(2) },
    ({ seed, rows, heads, headDim, half }) => {
      const rotated = Math.min(half, Math.floor(headDim / 2));
      const positions = drawIntegers(seed, rows, 0, 9);
      return {
        inputs: { x: [rows, heads * headDim] },
        op: ({ x }, device) => rope(x!, positions, ropeTable(device, 9, rotated), heads),
      };
    },
  );

  const two = between(1, 2);
  law(
    "causalAttention, grouped heads, several sequences",
    { batch: two, time: size, kvHeads: two, group: two, headDim: between(1, 3) },
    ({ batch, time, kvHeads, group, headDim }) => {
      const q = [batch * time, kvHeads * group * headDim];
      const kv = [batch * time, kvHeads * headDim];
      // In [-1, 1], so that softmax of q·k has its poles π/2 away in every single element.
      return {
        range: 1,
        inputs: { q, k: kv, v: kv },
        op: ({ q, k, v }) => causalAttention(q!, k!, v!, { batch, heads: kvHeads * group, kvHeads }),
      };
    },
  );

  law(
    "embedding, with ids that repeat",
    { rows: size, width: size, count: fc.nat(6) },
    ({ seed, rows, width, count }) => {
      const ids = drawIntegers(seed, count, 0, rows);
      return { inputs: { table: [rows, width] }, op: ({ table }) => embedding(table!, ids) };
    },
  );
});

describe("losses", () => {
  law("crossEntropy, with masked rows", { shape: rowShape }, ({ seed, shape }) => {
    const targets = drawIntegers(seed, sizeOf(shape.slice(0, -1)), -2, shape.at(-1)!);
    return { inputs: { logits: shape }, op: ({ logits }) => crossEntropy(logits!, targets) };
  });

  law(
    "klDivergence, at any temperature",
    { shape: rowShape, temperature: fc.constantFrom(0.5, 1, 3) },
    ({ seed, shape, temperature }) => {
      const teacher = drawValues(seed ^ 7, sizeOf(shape));
      return {
        inputs: { student: shape },
        op: ({ student }, device) => klDivergence(Tensor.from(device, teacher, shape), student!, { temperature }),
      };
    },
  );

  test("klDivergence sends nothing to its teacher", () => {
    const device = createReferenceDevice();
    const teacher = Tensor.from(device, [1, 2], [2], { requiresGrad: true });
    const student = Tensor.from(device, [2, 1], [2], { requiresGrad: true });
    backward(klDivergence(teacher, student));
    expect(teacher.grad).toBeUndefined();
    expect(student.grad).toBeDefined();
  });
});

describe("parts and sums", () => {
  law("columns", { shape: rowShape, cut: fc.tuple(fc.nat(5), fc.nat(5)) }, ({ shape, cut }) => {
    const [begin, end] = cut.map((at) => Math.min(at, shape.at(-1)!)).toSorted((a, b) => a - b) as [number, number];
    return { inputs: { x: shape }, op: ({ x }) => columns(x!, begin, end) };
  });

  law("takeAlongRows, with ids that repeat", { shape: rowShape, k: fc.nat(4) }, ({ seed, shape, k }) => {
    const ids = drawIntegers(seed, sizeOf(shape.slice(0, -1)) * k, 0, shape.at(-1)!);
    return { inputs: { x: shape }, op: ({ x }) => takeAlongRows(x!, ids, k) };
  });

  law(
    "mean over everything, and sum over one axis",
    { shape: rowShape, axis: fc.option(between(-3, 2), { nil: undefined }) },
    ({ shape, axis }) => {
      fc.pre(axis === undefined || (axis >= -shape.length && axis < shape.length));
      return { inputs: { x: shape }, op: ({ x }) => (axis === undefined ? mean(x!) : sum(x!, { axis })) };
    },
  );
});

describe("backward", () => {
  const device = createReferenceDevice();
  const parameter = (...data: number[]) => Tensor.from(device, data, [data.length], { requiresGrad: true });
  const gradient = (tensor: Tensor) => Array.from(valuesOf(tensor.grad!));

  test.for<[string, number[], (x: Tensor) => unknown, number[]]>([
    ["adds up over every use of a tensor", [3, -1], (x) => backward(sum(add(mul(x, x), x))), [7, -1]],
    ["gives a leaf that is added to itself twice the gradient", [1, 2], (x) => backward(sum(add(x, x))), [2, 2]],
    ["works on a leaf alone", [5], backward, [1]],
    ["keeps gradients alive past the scope it ran in", [1, 2], (x) => scope(() => backward(sum(mul(x, x)))), [2, 4]],
  ])("%s", ([, data, flow, expected]) => {
    const x = parameter(...data);
    flow(x);
    expect(gradient(x)).toEqual(expected);
  });

  test("adds up over the paths of a diamond, each node visited once", () => {
    const x = parameter(1);
    let visits = 0;
    const shared = record(device, device.kernels.scale(x.storage, 2), [1], [x], (dy) => {
      visits++;
      return [scale(dy, 2)];
    });
    backward(add(scale(shared, 3), add(shared, shared)));
    expect(gradient(x)).toEqual([10]);
    expect(visits).toBe(1);
  });

  test("accumulates into grad when called again, and frees the old one", () => {
    const x = parameter(1, 2);
    backward(sum(scale(x, 3)));
    const first = x.grad!;
    backward(sum(scale(x, 4)));
    expect(gradient(x)).toEqual([7, 7]);
    expect(() => first.storage).toThrow(/used after it was freed/);
  });

  test("gives each of two leaves its own gradient", () => {
    const a = parameter(1, 2);
    const b = parameter(3, 4);
    backward(sum(add(a, b)));
    a.grad!.dispose();
    expect(gradient(b)).toEqual([1, 1]);
  });

  test("records nothing for frozen inputs", () => {
    const frozen = Tensor.from(device, [1, 2]);
    const x = parameter(1, 2);
    const y = gelu(mul(frozen, frozen));
    expect([y.requiresGrad, y.node]).toEqual([false, undefined]);
    expect(mul(frozen, x).node).toBeDefined();
    backward(sum(mul(frozen, x)));
    expect(frozen.grad).toBeUndefined();
    const packed = PackedMatrix.from(device, Float32Array.of(1, 2), [1, 2]);
    expect(linear(frozen, packed).node).toBeUndefined();
    expect(embedding(packed, [0]).node).toBeUndefined();
  });

  test("stops at detach", () => {
    const x = parameter(3);
    backward(mul(x, detach(x)));
    expect(gradient(x)).toEqual([3]);
    expect(detach(x).requiresGrad).toBe(false);
  });

  test("goes through 10,000 ops without exhausting the stack", () => {
    const x = parameter(0);
    const step = parameter(1);
    let y = x;
    for (let i = 0; i < 10_000; i++) y = add(y, step);
    backward(y);
    expect([valuesOf(y)[0], ...gradient(x), ...gradient(step)]).toEqual([10_000, 1, 10_000]);
  });

  test("asks for a loss of one element, and names the shape it found", () =>
    expectCode(() => backward(parameter(1, 2)), "shape-scalar", "[2]"));
});
