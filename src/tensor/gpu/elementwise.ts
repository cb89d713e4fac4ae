/** Elementwise kernels of the GPU device, and AdamW. */
import { DeviceError } from "../../errors.js";
import type { BinaryOp, ElementwiseKernels, Kernels } from "../device.js";
import { formatShape, mergeAxes } from "../shape.js";
import {
  adamwStep,
  binaryDeep,
  binaryMatrix,
  binaryVector,
  firstMoment,
  scale,
  secondMoment,
  swiglu,
  swigluBackward,
  unary,
  unaryBackward,
} from "./kernels/elementwise.kernel.js";
import type { Engine, GpuStorage } from "./engine.js";

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
