/**
 * Matrix products.
 *   matmul: op(A) [M, K] x op(B) [K, N] -> [M, N]     dA = dC·Bᵀ, dB = Aᵀ·dC, transposed if the operand is
 *   linear: y = x·Wᵀ + bias + residual, x [.., K], W [N, K] as Hugging Face stores it
 */
import { ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import type { Storage } from "../device.js";
import { formatShape, rowsOf, sameShape, type Shape, withLast } from "../shape.js";
import { PackedMatrix, Tensor } from "../tensor.js";
import { add } from "./arithmetic.js";

interface MatmulOptions {
  /** A is stored [K, M]. @default false */
  readonly transposeA?: boolean;
  /** B is stored [N, K]. @default false */
  readonly transposeB?: boolean;
}

/** op(A) [M, K] x op(B) [K, N] -> [M, N]. Throws a ShapeError naming both shapes. */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  requireDevice(b, a.device);
  const [m, k] = matrixAxes(a.shape, transposeA);
  const [kOfB, n] = matrixAxes(b.shape, transposeB);
  if (k !== kOfB) {
    throw new ShapeError(
      "shape-inner",
      `matmul: inner sizes differ, ${formatShape(a.shape)} x ${formatShape(b.shape)}; transpose an argument?`,
      { a: a.shape, b: b.shape },
    );
  }
  return product(a, b, { m, n, k, transposeA, transposeB }, [m, n]);
}

type Dims = Parameters<Tensor["device"]["kernels"]["matmul"]>[2];

function product(a: Tensor, b: Tensor, dims: Dims, shape: Shape): Tensor {
  const { device } = a;
  const { m, n, k, transposeA, transposeB } = dims;
  const run = (left: Storage, right: Storage, of: Dims): Storage => device.kernels.matmul(left, right, of);
  return record(device, run(a.storage, b.storage, dims), shape, [a, b], (dy) => {
    const dA = (): Storage =>
      transposeA // A stored [K, M]: dAᵀ = op(B)·dCᵀ
        ? run(b.storage, dy.storage, { m: k, n: m, k: n, transposeA: transposeB, transposeB: true })
        : run(dy.storage, b.storage, { m, n: k, k: n, transposeA: false, transposeB: !transposeB });
    const dB = (): Storage =>
      transposeB // B stored [N, K]: dBᵀ = dCᵀ·op(A)
        ? run(dy.storage, a.storage, { m: n, n: k, k: m, transposeA: true, transposeB: transposeA })
        : run(a.storage, dy.storage, { m: k, n, k: m, transposeA: !transposeA, transposeB: false });
    return [a.requiresGrad ? dA() : undefined, b.requiresGrad ? dB() : undefined];
  });
}

function matrixAxes(shape: Shape, transposed: boolean): [number, number] {
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new ShapeError("shape-rank", `matmul: expected two axes, found ${formatShape(shape)}`, { shape });
  }
  return transposed ? [columns, rows] : [rows, columns];
}

interface LinearOptions {
  /** [N], added to every row. */
  readonly bias?: Tensor | undefined;
  /** [.., N], added elementwise: a residual stream. */
  readonly residual?: Tensor | undefined;
}

/** y = x·Wᵀ + bias + residual: [.., K] -> [.., N]. A row of y depends on its own row of x only, bit for bit. */
export function linear(x: Tensor, weight: Tensor | PackedMatrix, { bias, residual }: LinearOptions = {}): Tensor {
  const { rows, width: k } = rowsOf("linear", x.shape);
  const [n, kOfW] = weight.shape;
  if (weight.shape.length !== 2 || n === undefined || kOfW !== k) {
    throw new ShapeError(
      "shape-inner",
      `linear: x ${formatShape(x.shape)} needs a weight [N, ${k}], found ${formatShape(weight.shape)}`,
      { x: x.shape, weight: weight.shape },
    );
  }
  const shape = withLast(x.shape, n);
  if (bias && !(bias.shape.length === 1 && bias.shape[0] === n)) {
    throw new ShapeError("shape-bias", `linear: expected a bias [${n}], found ${formatShape(bias.shape)}`, {
      bias: bias.shape,
    });
  }
  if (residual && !sameShape(residual.shape, shape)) {
    throw new ShapeError(
      "shape-residual",
      `linear: expected a residual ${formatShape(shape)}, found ${formatShape(residual.shape)}`,
      { residual: residual.shape },
    );
  }
  const { device } = x;
  requireDevice(weight, device);
  if (bias) requireDevice(bias, device);
  if (residual) requireDevice(residual, device);

  if (!(weight instanceof PackedMatrix)) {
    let sum = product(x, weight, { m: rows, n, k, transposeA: false, transposeB: true }, shape);
    for (const term of [bias, residual]) {
      if (term === undefined) continue;
      const before = sum;
      sum = add(before, term);
      before.dispose(); // no gradient needs it
    }
    return sum;
  }
  const { kernels } = device;
  const y = kernels.linear(x.storage, weight.storage, rows, bias?.storage, residual?.storage);
  // Decoding needs no record, a percent of the time of a model of hidden size 128.
  const tracked = x.requiresGrad || bias?.requiresGrad === true || residual?.requiresGrad === true;
  if (!tracked) return new Tensor(device, y, shape);
  // dx = dy·W, dbias = Σ over rows of dy, dresidual = dy
  return record(device, y, shape, [x, ...(bias ? [bias] : []), ...(residual ? [residual] : [])], (dy) => [
    x.requiresGrad ? kernels.linearBackward(dy.storage, weight.storage, rows) : undefined,
    ...(bias ? [bias.requiresGrad ? kernels.sumTo(dy.storage, [rows, n], [1, n]) : undefined] : []),
    ...(residual ? [dy] : []),
  ]);
}

/**
 * Entries `ids` of the row `linear(x, weight, { bias })`, x [K] or [1, K] -> [ids.length], bit for bit. A device
 * without this computes the whole row. Records no gradient.
 */
export function linearAt(
  x: Tensor,
  weight: PackedMatrix,
  ids: readonly number[],
  { bias }: Pick<LinearOptions, "bias"> = {},
): Tensor {
  const { device } = x;
  const [n, k] = weight.shape as [number, number];
  const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= n);
  if (x.size !== k || outside !== undefined) {
    const found = outside === undefined ? `x ${formatShape(x.shape)}` : `entry ${outside}`;
    throw new ShapeError(
      "linear-at",
      `linearAt: weight ${formatShape(weight.shape)} needs x [${k}] and entries in [0, ${n}), found ${found}`,
      { x: x.shape, weight: weight.shape },
    );
  }
  requireDevice(weight, device);
  if (bias) requireDevice(bias, device);
  if (device.screening) {
    return new Tensor(device, device.screening.linearAt(x.storage, weight.storage, ids, bias?.storage), [ids.length]);
  }
  const row = device.kernels.linear(x.storage, weight.storage, 1, bias?.storage, undefined);
  const entries = device.kernels.takeAlongRows(row, ids, 1, n, ids.length);
  device.free(row);
  return new Tensor(device, entries, [ids.length]);
}
