/**
 * Elementwise kernels of the GPU device, and AdamW; formulas of the activations: reference/elementwise.ts.
 *   σ(x) = 1 / (1 + e^-x), with the exponent held below 87, where float32 would overflow
 *   geluTanh(x) = x · σ(2u), u = √(2/π)(x + 0.044715x³): this is x/2 · (1 + tanh u) without tanh, which GPUs get wrong
 *   Φ(x) = (1 + erf(x/√2)) / 2, erf by Abramowitz & Stegun 7.1.26, |error| <= 1.5e-7
 */
import { DeviceError } from "../../errors.js";
import type { BinaryOp, ElementwiseKernels, Kernels, UnaryOp } from "../device.js";
import { formatShape, mergeAxes } from "../shape.js";
import type { Engine, GpuStorage } from "./engine.js";
import { type KernelSource, matrixKernel, vectorKernel } from "./kernel-source.js";

/** y of left and right; op 0, 1, 2 = add, sub, mul. */
const apply = `
  let y = left + right;
  if (op === 1) {
    y = left - right;
  }
  if (op === 2) {
    y = left * right;
  }`;

/** One axis, with steps 0 (repeated) or 1. */
const binaryVector = vectorKernel(
  "binaryVector",
  "array a b, integer op aStep bStep",
  `
  const left = a[COLUMN * aStep];
  const right = b[COLUMN * bStep];
  ${apply}
  return y;
`,
);

const binaryMatrix = matrixKernel(
  "binaryMatrix",
  "array a b, integer op aRow aColumn bRow bColumn",
  `
  const left = a[ROW * aRow + COLUMN * aColumn];
  const right = b[ROW * bRow + COLUMN * bColumn];
  ${apply}
  return y;
`,
);

/** Rows counted by three axes of sizes (any, n1, n2), each with its own strides. */
const binaryDeep = matrixKernel(
  "binaryDeep",
  "array a b, integer op n1 n2 a0 a1 a2 a3 b0 b1 b2 b3",
  `
  const outer = Math.floor((ROW + 0.5) / n2);
  const i2 = ROW - outer * n2;
  const i0 = Math.floor((outer + 0.5) / n1);
  const i1 = outer - i0 * n1;
  const left = a[i0 * a0 + i1 * a1 + i2 * a2 + COLUMN * a3];
  const right = b[i0 * b0 + i1 * b1 + i2 * b2 + COLUMN * b3];
  ${apply}
  return y;
`,
);

export const scale = vectorKernel(
  "scale",
  "array x, float factor",
  `
  return x[COLUMN] * factor;
`,
);

const sigmoid = (x: string): string => `1 / (1 + Math.exp(Math.min(-(${x}), 87)))`;

/** Φ(v) into `phi`, and e^(-v²/2) into `bell`. */
const normal = `
  const bell = Math.exp(Math.max(-0.5 * v * v, -100));
  const t = 1 / (1 + 0.3275911 * Math.abs(v) * 0.7071067811865476);
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const tail = series * bell * 0.5;
  let phi = tail;
  if (v > 0) {
    phi = 1 - tail;
  }`;

/** σ(2u) into `gate`. */
const tanhGate = `
  const gate = ${sigmoid("1.5957691216057308 * (v + 0.044715 * v * v * v)")};`;

/** Statements, then the value; `v` is x. */
const VALUE: Readonly<Record<UnaryOp, readonly [statements: string, value: string]>> = {
  gelu: [normal, "v * phi"],
  geluTanh: [tanhGate, "v * gate"],
  silu: [`const gate = ${sigmoid("v")};`, "v * gate"],
  relu: ["", "Math.max(v, 0)"],
};

/** The derivative at v. */
const SLOPE: Readonly<Record<UnaryOp, readonly [statements: string, value: string]>> = {
  gelu: [normal, "phi + v * bell * 0.3989422804014327"],
  geluTanh: [tanhGate, "gate + v * gate * (1 - gate) * 1.5957691216057308 * (1 + 0.134145 * v * v)"],
  silu: [`const gate = ${sigmoid("v")};`, "gate * (1 + v * (1 - gate))"],
  relu: ["let step = 0;\n  if (v > 0) {\n    step = 1;\n  }", "step"],
};

const ops = Object.keys(VALUE) as UnaryOp[];

const unary = Object.fromEntries(
  ops.map((op) => [
    op,
    vectorKernel(
      op,
      "array x",
      `
  const v = x[COLUMN];
  ${VALUE[op][0]}
  return ${VALUE[op][1]};
`,
    ),
  ]),
) as Readonly<Record<UnaryOp, KernelSource<"x">>>;

const unaryBackward = Object.fromEntries(
  ops.map((op) => [
    op,
    vectorKernel(
      `${op}Backward`,
      "array x dy",
      `
  const v = x[COLUMN];
  ${SLOPE[op][0]}
  return (${SLOPE[op][1]}) * dy[COLUMN];
`,
    ),
  ]),
) as Readonly<Record<UnaryOp, KernelSource<"x" | "dy">>>;

/** silu(left half) · right half. */
const swiglu = matrixKernel(
  "swiglu",
  "array x, integer width",
  `
  const v = x[ROW * 2 * width + COLUMN];
  const gate = ${sigmoid("v")};
  return v * gate * x[ROW * 2 * width + width + COLUMN];
`,
);

/** [dgate, dup] = [dy · up · silu'(gate), dy · silu(gate)]. */
const swigluBackward = matrixKernel(
  "swigluBackward",
  "array x dy, integer width",
  `
  let y = 0;
  if (COLUMN < width) {
    const v = x[ROW * 2 * width + COLUMN];
    const gate = ${sigmoid("v")};
    y = dy[ROW * width + COLUMN] * x[ROW * 2 * width + width + COLUMN] * gate * (1 + v * (1 - gate));
  } else {
    const w = x[ROW * 2 * width + COLUMN - width];
    const open = ${sigmoid("w")};
    y = dy[ROW * width + COLUMN - width] * w * open;
  }
  return y;
`,
);

/**
 * AdamW (Loshchilov & Hutter 2019), three kernels because a gpu.js kernel has one output:
 *   m' = β·m + (1 - β)·g,  v' = β·v + (1 - β)·g²,  p' = p - rate · (m'/c₁ / (√(v'/c₂) + ε) + decay · p)
 */
const firstMoment = vectorKernel(
  "firstMoment",
  "array m gradient, float beta rest factor",
  `
  return beta * m[COLUMN] + rest * gradient[COLUMN] * factor;
`,
);

const secondMoment = vectorKernel(
  "secondMoment",
  "array v gradient, float beta rest factor",
  `
  const g = gradient[COLUMN] * factor;
  return beta * v[COLUMN] + rest * g * g;
`,
);

const adamwStep = vectorKernel(
  "adamwStep",
  "array param m v, float rate correction1 correction2 epsilon decay",
  `
  const update = m[COLUMN] / correction1 / (Math.sqrt(v[COLUMN] / correction2) + epsilon);
  return param[COLUMN] - rate * (update + decay * param[COLUMN]);
`,
);

const OPS: Readonly<Record<BinaryOp, number>> = { add: 0, sub: 1, mul: 2 };

export function elementwiseKernels(engine: Engine): ElementwiseKernels & Pick<Kernels, "adamw"> {
  return {
    binary(op, a, b, shape, aStrides, bStrides): GpuStorage {
      const axes = mergeAxes(shape, aStrides, bStrides);
      const [inner = { size: 1, a: 0, b: 0 }, middle = { size: 1, a: 0, b: 0 }] = axes.toReversed();
      if (axes.length <= 1) {
        return engine.vector(binaryVector, inner.size, { a, b, op: OPS[op], aStep: inner.a, bStep: inner.b });
      }
      if (axes.length === 2) {
        return engine.matrix(binaryMatrix, middle.size, inner.size, {
          a,
          b,
          op: OPS[op],
          aRow: middle.a,
          aColumn: inner.a,
          bRow: middle.b,
          bColumn: inner.b,
        });
      }
      const [second, third = { size: 1, a: 0, b: 0 }, ...more] = axes.toReversed().slice(2);
      if (more.length > 0) {
        throw new DeviceError(
          "gpu-rank",
          `gpu: ${op} over ${formatShape(shape)} broadcasts along more than four separate axes; reshape the operands`,
          { shape },
        );
      }
      const rows = third.size * second!.size * middle.size;
      engine.requireExact(`${op}: a broadcast operand`, Math.max(a.length, b.length));
      engine.requireRows(op, rows);
      return engine.matrix(binaryDeep, rows, inner.size, {
        a,
        b,
        op: OPS[op],
        n1: second!.size,
        n2: middle.size,
        a0: third.a,
        a1: second!.a,
        a2: middle.a,
        a3: inner.a,
        b0: third.b,
        b1: second!.b,
        b2: middle.b,
        b3: inner.b,
      });
    },
    scale: (x, factor) => engine.vector(scale, x.length, { x, factor }),

    unary: (op, x) => engine.vector(unary[op], x.length, { x }),
    unaryBackward: (op, x, dy) => engine.vector(unaryBackward[op], x.length, { x, dy }),

    swiglu: (x, rows, width) => engine.matrix(swiglu, rows, width, { x, width }),
    swigluBackward: (x, dy, rows, width) => engine.matrix(swigluBackward, rows, 2 * width, { x, dy, width }),

    adamw(
      param,
      gradient,
      m,
      v,
      { learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2, gradientScale },
    ): void {
      engine.replace(
        engine.at(m),
        engine.vector(firstMoment, m.length, { m, gradient, beta: beta1, rest: 1 - beta1, factor: gradientScale }),
      );
      engine.replace(
        engine.at(v),
        engine.vector(secondMoment, v.length, { v, gradient, beta: beta2, rest: 1 - beta2, factor: gradientScale }),
      );
      engine.replace(
        engine.at(param),
        engine.vector(adamwStep, param.length, {
          param,
          m,
          v,
          rate: learningRate,
          correction1,
          correction2,
          epsilon,
          decay: weightDecay,
        }),
      );
    },
  };
}
