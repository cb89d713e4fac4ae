/**
 * The gradient check. An op with inputs x gives y; a random projection w makes it a scalar, L = Σ w·y, and then
 *   1. backward on the float64 reference device equals central differences of the op evaluated in float64, for every
 *      element of every input;
 *   2. the gradient of an input does not depend, bit for bit, on which other inputs require one;
 *   3. backward in float32 equals backward in float64 up to the roundings of what is stored.
 * The differences sum w·y by themselves, so they share nothing with backward but the forward kernels.
 */
import { backward } from "../../src/tensor/autograd.js";
import type { Device } from "../../src/tensor/device.js";
import { mul } from "../../src/tensor/ops/arithmetic.js";
import { sum } from "../../src/tensor/ops/reduce.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { createRng } from "../../src/tensor/rng.js";
import { formatShape, type Shape, sizeOf } from "../../src/tensor/shape.js";
import { scope, Tensor } from "../../src/tensor/tensor.js";

/**
 * Inputs are uniform in [-RANGE, RANGE], projections in [-1, 1]; both are float32 numbers, so both devices see the
 * same.
 */
const RANGE = 2;
/** Five points, L'(x) ≈ (8(L(x+h) - L(x-h)) - (L(x+2h) - L(x-2h))) / 12h: the error is at most h⁴/30 · max|L⁽⁵⁾|. */
const STEP = 2 ** -9;
/**
 * Cauchy: |f⁽⁵⁾| <= 5!·M/r⁵. Inputs are drawn so that no op has a pole within 1 of the real line; r = 0.7 and M <= 10
 * give 7,140.
 */
const FIFTH_DERIVATIVE = 2 ** 13;
/**
 * An output is a sum of at most 64 terms of size at most 10, each rounded to 2⁻⁵³; the stencil weighs them with 18/12h.
 */
const DIFFERENCE_ROUNDING = (1.5 / STEP) * 64 * 10 * 2 ** -53;
/** Storing a float32 is off by at most half a unit in the last place. */
const FLOAT32_ROUNDING = 2 ** -24;

/**
 * The values behind a tensor of the reference device, whose storage is the typed array itself: reads float64 in full.
 */
export function valuesOf(tensor: Tensor) {
  return tensor.storage as Float32Array | Float64Array;
}

/** float32 numbers, uniform in [-range, range], at least `gap` away from 0. */
export function drawValues(seed: number, size: number, { range = RANGE, gap = 0 } = {}) {
  const rng = createRng(seed);
  return Float32Array.from({ length: size }, () => {
    const value = 2 * rng.uniform() - 1;
    return Math.sign(value) * gap + value * (range - gap);
  });
}

export interface GradientCheck<Name extends string> {
  readonly seed: number;
  readonly inputs: Readonly<Record<Name, Shape>>;
  /** Computes the op on whatever device its inputs live on. */
  readonly op: (inputs: Readonly<Record<Name, Tensor>>, device: Device) => Tensor;
  /** @default 2 */
  readonly range?: number;
  /** Smallest distance of an input from 0. @default 0 */
  readonly gap?: number;
  /** A bound on the fifth derivatives of the outputs. @default 2¹³, derived above for single ops */
  readonly fifthDerivative?: number;
  /** The float64 device of what the op needs besides its inputs; float32 is not compared then. @default a new one */
  readonly device?: Device;
}

/** Throws, naming the input and the element, if one of the three equalities does not hold. */
export function checkGradients<Name extends string>({
  seed,
  inputs,
  op,
  range = RANGE,
  gap = 0,
  fifthDerivative = FIFTH_DERIVATIVE,
  device,
}: GradientCheck<Name>) {
  const names = Object.keys(inputs) as Name[];
  const data = new Map(names.map((name, i) => [name, drawValues(seed + 1 + i, sizeOf(inputs[name]), { range, gap })]));
  const upload = (device: Device, wanted: readonly Name[]) =>
    Object.fromEntries(
      names.map((name) => [
        name,
        Tensor.from(device, data.get(name)!, inputs[name], { requiresGrad: wanted.includes(name) }),
      ]),
    ) as Record<Name, Tensor>;

  const double = device ?? createReferenceDevice({ float64: true });
  const variables = upload(double, []);
  const { shape: outputShape } = op(variables, double);
  const projection = drawValues(seed, sizeOf(outputShape), { range: 1 });
  const weight = projection.reduce((total, w) => total + Math.abs(w), 0); // Σ|w|

  const gradientsOf = (device: Device, wanted: readonly Name[]) => {
    const tensors = upload(device, wanted);
    scope(() => backward(sum(mul(op(tensors, device), Tensor.from(device, projection, outputShape)))));
    return new Map(
      names.flatMap((name) => {
        const { grad } = tensors[name];
        if ((grad === undefined) === wanted.includes(name)) {
          throw new Error(`the gradient of ${name} is ${grad ? "there unasked" : "missing"}; ${describe()}`);
        }
        if (grad && formatShape(grad.shape) !== formatShape(inputs[name])) {
          throw new Error(`the gradient of ${name} has shape ${formatShape(grad.shape)}; ${describe()}`);
        }
        return grad ? [[name, valuesOf(grad)] as const] : [];
      }),
    );
  };
  const describe = () =>
    `inputs ${names.map((name) => `${name} ${formatShape(inputs[name])}`).join(", ")}, ` +
    `output ${formatShape(outputShape)}, seed ${seed}`;
  const compare = (
    what: string,
    name: Name,
    found: ArrayLike<number>,
    expected: ArrayLike<number>,
    tolerance: (value: number) => number,
  ) => {
    for (let i = 0; i < expected.length; i++) {
      const a = found[i]!;
      const b = expected[i]!;
      if (!(Math.abs(a - b) <= tolerance(b))) {
        throw new Error(
          `${what}: the gradient of ${name} at index ${i} is ${a}, expected ${b} within ${tolerance(b)}; ${describe()}`,
        );
      }
    }
  };

  const loss = () => {
    const y = valuesOf(op(variables, double));
    return projection.reduce((total, w, i) => total + w * y[i]!, 0);
  };
  const difference = (values: Float32Array | Float64Array, i: number) => {
    const at = values[i]!;
    const lossAt = (steps: number) => {
      values[i] = at + steps * STEP;
      return loss();
    };
    const slope = (8 * (lossAt(1) - lossAt(-1)) - (lossAt(2) - lossAt(-2))) / (12 * STEP);
    values[i] = at;
    return slope;
  };

  const exact = gradientsOf(double, names);
  for (const [name, gradient] of exact) {
    const values = valuesOf(variables[name]);
    const numeric = Array.from(values, (_, i) => difference(values, i));
    compare(
      "float64 backward against central differences",
      name,
      gradient,
      numeric,
      () => weight * ((STEP ** 4 / 30) * fifthDerivative + DIFFERENCE_ROUNDING),
    );
    compare(
      "backward with this input alone against all together",
      name,
      gradientsOf(double, [name]).get(name)!,
      gradient,
      () => 0,
    );
  }
  if (device !== undefined) return;
  // Kernels compute in float64 from the same inputs, so only stored values differ: the gradient itself (twice if
  // two kernels make it), and at most one intermediate per term, off by RANGE·2⁻²⁴ relative to |w|. Twice that covers
  // the second order.
  for (const [name, gradient] of gradientsOf(createReferenceDevice(), names)) {
    compare(
      "float32 backward against float64",
      name,
      gradient,
      exact.get(name)!,
      (value) => 2 * FLOAT32_ROUNDING * (2 * Math.abs(value) + RANGE * weight),
    );
  }
}
