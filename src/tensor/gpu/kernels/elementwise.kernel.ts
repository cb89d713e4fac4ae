/**
 * Elementwise kernels; formulas of the activations: reference/elementwise.ts.
 *   σ(x) = 1 / (1 + e^-x), with the exponent held below 87, where float32 would overflow
 *   geluTanh(x) = x · σ(2u), u = √(2/π)(x + 0.044715x³): this is x/2 · (1 + tanh u) without tanh, which GPUs get wrong
 *   Φ(x) = (1 + erf(x/√2)) / 2, erf by Abramowitz & Stegun 7.1.26, |error| <= 1.5e-7
 */
import type { UnaryOp } from "../../device.js";
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
export const binaryVector = vectorKernel(
  "binaryVector",
  { a: "array", b: "array", op: "integer", aStep: "integer", bStep: "integer" },
  `
  const left = a[COLUMN * aStep];
  const right = b[COLUMN * bStep];
  ${apply}
  return y;
`,
);

export const binaryMatrix = matrixKernel(
  "binaryMatrix",
  { a: "array", b: "array", op: "integer", aRow: "integer", aColumn: "integer", bRow: "integer", bColumn: "integer" },
  `
  const left = a[ROW * aRow + COLUMN * aColumn];
  const right = b[ROW * bRow + COLUMN * bColumn];
  ${apply}
  return y;
`,
);

/** Rows counted by three axes of sizes (any, n1, n2), each with its own strides. */
export const binaryDeep = matrixKernel(
  "binaryDeep",
  {
    a: "array",
    b: "array",
    op: "integer",
    n1: "integer",
    n2: "integer",
    a0: "integer",
    a1: "integer",
    a2: "integer",
    a3: "integer",
    b0: "integer",
    b1: "integer",
    b2: "integer",
    b3: "integer",
  },
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
  { x: "array", factor: "float" },
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
  exp: ["", "Math.exp(v)"],
};

/** The derivative at v. */
const SLOPE: Readonly<Record<UnaryOp, readonly [statements: string, value: string]>> = {
  gelu: [normal, "phi + v * bell * 0.3989422804014327"],
  geluTanh: [tanhGate, "gate + v * gate * (1 - gate) * 1.5957691216057308 * (1 + 0.134145 * v * v)"],
  silu: [`const gate = ${sigmoid("v")};`, "gate * (1 + v * (1 - gate))"],
  relu: ["let step = 0;\n  if (v > 0) {\n    step = 1;\n  }", "step"],
  exp: ["", "Math.exp(v)"],
};

const ops = Object.keys(VALUE) as UnaryOp[];

export const unary = Object.fromEntries(
  ops.map((op) => [
    op,
    vectorKernel(
      op,
      { x: "array" },
      `
  const v = x[COLUMN];
  ${VALUE[op][0]}
  return ${VALUE[op][1]};
`,
    ),
  ]),
) as Readonly<Record<UnaryOp, KernelSource<"x">>>;

export const unaryBackward = Object.fromEntries(
  ops.map((op) => [
    op,
    vectorKernel(
      `${op}Backward`,
      { x: "array", dy: "array" },
      `
  const v = x[COLUMN];
  ${SLOPE[op][0]}
  return (${SLOPE[op][1]}) * dy[COLUMN];
`,
    ),
  ]),
) as Readonly<Record<UnaryOp, KernelSource<"x" | "dy">>>;

/** silu(left half) · right half. */
export const swiglu = matrixKernel(
  "swiglu",
  { x: "array", width: "integer" },
  `
  const v = x[ROW * 2 * width + COLUMN];
  const gate = ${sigmoid("v")};
  return v * gate * x[ROW * 2 * width + width + COLUMN];
`,
);

/** [dgate, dup] = [dy · up · silu'(gate), dy · silu(gate)]. */
export const swigluBackward = matrixKernel(
  "swigluBackward",
  { x: "array", dy: "array", width: "integer" },
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
export const firstMoment = vectorKernel(
  "firstMoment",
  { m: "array", gradient: "array", beta: "float", rest: "float", factor: "float" },
  `
  return beta * m[COLUMN] + rest * gradient[COLUMN] * factor;
`,
);

export const secondMoment = vectorKernel(
  "secondMoment",
  { v: "array", gradient: "array", beta: "float", rest: "float", factor: "float" },
  `
  const g = gradient[COLUMN] * factor;
  return beta * v[COLUMN] + rest * g * g;
`,
);

export const adamwStep = vectorKernel(
  "adamwStep",
  {
    param: "array",
    m: "array",
    v: "array",
    rate: "float",
    correction1: "float",
    correction2: "float",
    epsilon: "float",
    decay: "float",
  },
  `
  const update = m[COLUMN] / correction1 / (Math.sqrt(v[COLUMN] / correction2) + epsilon);
  return param[COLUMN] - rate * (update + decay * param[COLUMN]);
`,
);
