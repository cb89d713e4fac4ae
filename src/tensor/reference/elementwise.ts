/**
 * Elementwise functions, each with its derivative.
 *   gelu(x)     = x · Φ(x), Φ the normal distribution function          (Hendrycks & Gimpel 2016)
 *   geluTanh(x) = x/2 · (1 + tanh(√(2/π)(x + 0.044715x³)))              (GPT-2's "gelu_new")
 *   silu(x)     = x · σ(x)                                              (Elfwing et al. 2017)
 *   swiglu([g, u]) = silu(g) · u                                        (Shazeer 2020, the MLP of Llama)
 */
import type { BinaryOp, ElementwiseKernels, UnaryOp } from "../device.js";
import { sizeOf } from "../shape.js";
import { type Allocate, build, type OnFloats } from "./floats.js";

interface Scalar {
  readonly value: (x: number) => number;
  readonly slope: (x: number) => number;
}

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const normalCdf = (x: number): number => 0.5 * erfc(-x / Math.SQRT2);
const normalDensity = (x: number): number => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
const geluInner = (x: number): number => Math.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x ** 3));

const FUNCTIONS: Readonly<Record<UnaryOp, Scalar>> = {
  gelu: {
    value: (x) => x * normalCdf(x),
    slope: (x) => normalCdf(x) + x * normalDensity(x),
  },
  geluTanh: {
    value: (x) => 0.5 * x * (1 + geluInner(x)),
    slope: (x) =>
      0.5 * (1 + geluInner(x)) + 0.5 * x * (1 - geluInner(x) ** 2) * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x),
  },
  silu: {
    value: (x) => x * sigmoid(x),
    slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  },
  relu: {
    value: (x) => Math.max(x, 0),
    slope: (x) => (x > 0 ? 1 : 0),
  },
};

const BINARY: Readonly<Record<BinaryOp, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
};

export function elementwiseKernels(allocate: Allocate): OnFloats<ElementwiseKernels> {
  return {
    binary(op, a, b, shape, aStrides, bStrides) {
      const apply = BINARY[op];
      const index = new Array<number>(shape.length).fill(0);
      let p = 0;
      let q = 0;
      return build(allocate, sizeOf(shape), () => {
        const value = apply(a[p]!, b[q]!);
        // Odometer: advance the last axis; carry into the one before it.
        for (let axis = shape.length - 1; axis >= 0; axis--) {
          p += aStrides[axis]!;
          q += bStrides[axis]!;
          if (++index[axis]! < shape[axis]!) break;
          p -= aStrides[axis]! * shape[axis]!;
          q -= bStrides[axis]! * shape[axis]!;
          index[axis] = 0;
        }
        return value;
      });
    },

    scale(x, factor) {
      return build(allocate, x.length, (i) => x[i]! * factor);
    },

    unary(op, x) {
      const { value } = FUNCTIONS[op];
      return build(allocate, x.length, (i) => value(x[i]!));
    },
    unaryBackward(op, x, dy) {
      const { slope } = FUNCTIONS[op];
      return build(allocate, x.length, (i) => slope(x[i]!) * dy[i]!);
    },

    swiglu(x, rows, width) {
      return build(allocate, rows * width, (i) => {
        const gate = Math.floor(i / width) * 2 * width + (i % width);
        return FUNCTIONS.silu.value(x[gate]!) * x[gate + width]!;
      });
    },
    swigluBackward(x, dy, rows, width) {
      const dx = allocate(rows * 2 * width);
      for (let i = 0; i < rows * width; i++) {
        const gate = Math.floor(i / width) * 2 * width + (i % width);
        const up = gate + width;
        dx[gate] = dy[i]! * x[up]! * FUNCTIONS.silu.slope(x[gate]!);
        dx[up] = dy[i]! * FUNCTIONS.silu.value(x[gate]!);
      }
      return dx;
    },
  };
}

/**
 * Complementary error function.
 *   |x| < 2   Taylor series, erf(x) = 2/√π · e^{-x²} · Σ 2ⁿ x^{2n+1} / (1·3·5···(2n+1)), all terms positive
 *   beyond    the continued fraction of erfc
 * (Abramowitz & Stegun 7.1.6 and 7.1.14). The relative error is below 1e-13.
 */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) {
    // beyond 2, 1 - erf cancels: at 2.5 only twelve digits would be left
    let term = x;
    let sum = x;
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = x;
  for (let n = 60; n >= 1; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}
