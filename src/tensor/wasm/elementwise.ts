/** Elementwise kernels and the optimizer's step; see elementwise.as.ts. */
import type { BinaryOp, ElementwiseKernels, Kernels, UnaryOp } from "../device.js";
import { type BroadcastAxis, mergeAxes, sizeOf } from "../shape.js";
import type { Engine } from "./engine.js";
import { ADD, GELU, GELU_TANH, MUL, RELU, SILU, SUB } from "./kernels/constants.js";

const BINARY_OPS = { add: ADD, sub: SUB, mul: MUL } as const satisfies Record<BinaryOp, number>;
const UNARY_OPS = {
  gelu: GELU,
  geluTanh: GELU_TANH,
  silu: SILU,
  relu: RELU,
} as const satisfies Record<UnaryOp, number>;

const SINGLE: readonly BroadcastAxis[] = [{ size: 1, a: 1, b: 1 }];

export function elementwiseKernels(engine: Engine): ElementwiseKernels & Pick<Kernels, "adamw"> {
  const { wasm } = engine;

  return {
    binary(op, a, b, shape, aStrides, bStrides) {
      const y = engine.allocate(sizeOf(shape));
      const left = engine.at(a);
      const right = engine.at(b);
      // Equal shapes arrive as one axis.
      const flat = shape.length === 1 && aStrides[0] === 1 && bStrides[0] === 1;
      const merged = flat ? SINGLE : mergeAxes(shape, aStrides, bStrides);
      const axes = merged.length > 0 ? merged : SINGLE;
      if (axes.length === 1 && axes[0]!.a === 1 && axes[0]!.b === 1) {
        wasm.binaryFlat({ op: BINARY_OPS[op], a: left, b: right, y: y.address, vectors: vectorsOf(y.length) });
      } else if (y.length > 0) {
        const table = [...axes.map(({ size }) => size), ...axes.map((axis) => axis.a), ...axes.map((axis) => axis.b)];
        wasm.binaryStrided({
          op: BINARY_OPS[op],
          a: left,
          b: right,
          y: y.address,
          rank: axes.length,
          axes: engine.indices(table, axes.length),
          rows: y.length / axes.at(-1)!.size,
        });
      }
      return y;
    },

    scale(x, factor) {
      const y = engine.allocate(x.length);
      wasm.scale(engine.at(x), y.address, factor, vectorsOf(x.length));
      return y;
    },

    unary(op, x) {
      const y = engine.allocate(x.length);
      wasm.unary(UNARY_OPS[op], engine.at(x), y.address, vectorsOf(x.length));
      return y;
    },
    unaryBackward(op, x, dy) {
      const dx = engine.allocate(x.length);
      wasm.unaryBackward({
        op: UNARY_OPS[op],
        x: engine.at(x),
        dy: engine.at(dy),
        dx: dx.address,
        vectors: vectorsOf(x.length),
      });
      return dx;
    },

    swiglu(x, rows, width) {
      const y = engine.allocate(rows * width);
      engine.shareRows("swiglu", { x: engine.at(x), y: y.address, n: width }, rows, width);
      return y;
    },
    swigluBackward(x, dy, rows, width) {
      const dx = engine.allocate(2 * rows * width);
      engine.shareRows("swigluBackward", { x: engine.at(x), dy: engine.at(dy), dx: dx.address, n: width }, rows, width);
      return dx;
    },

    adamw(param, gradient, m, v, step) {
      const { learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2, gradientScale } = step;
      wasm.adamw({
        p: engine.at(param),
        g: engine.at(gradient),
        m: engine.at(m),
        v: engine.at(v),
        vectors: vectorsOf(param.length),
        lr: learningRate,
        beta1,
        rest1: 1 - beta1,
        beta2,
        rest2: 1 - beta2,
        epsilon,
        decay: weightDecay,
        factor1: 1 / correction1,
        factor2: 1 / correction2,
        gradientScale,
      });
    },
  };
}

/** Vectors of four that cover n elements; the last may reach into a tensor's slack. */
function vectorsOf(n: number): number {
  return Math.ceil(n / 4);
}
