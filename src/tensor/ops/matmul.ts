/**
 * Matrix products.
 *   matmul: op(A) [.., M, K] x op(B) [.., K, N] -> [.., M, N]     dA = dC·Bᵀ, dB = Aᵀ·dC, transposed if the operand is
 *   linear: y = x·Wᵀ + bias + residual, x [.., K], W [N, K] as Hugging Face stores it
 * The leading axes of A and B are equal, or B has two axes and serves every matrix of A.
 */
import { ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import type { Storage } from "../device.js";
import { formatShape, rowsOf, sameShape, type Shape, sizeOf, withLast } from "../shape.js";
import { PackedMatrix, Tensor } from "../tensor.js";

interface MatmulOptions {
  /** A is stored [.., K, M]. @default false */
  readonly transposeA?: boolean;
  /** B is stored [.., N, K]. @default false */
  readonly transposeB?: boolean;
}

/** op(A) [.., M, K] x op(B) [.., K, N] -> [.., M, N]. Throws a ShapeError naming both shapes. */
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
  const leading = a.shape.slice(0, -2);
  const shared = b.shape.length === 2;
  if (!shared && !sameShape(leading, b.shape.slice(0, -2))) {
    throw new ShapeError(
      "shape-batch",
      `matmul: leading axes differ, ${formatShape(a.shape)} x ${formatShape(b.shape)}; make them equal, or ` +
        "give the second argument two axes",
      { a: a.shape, b: b.shape },
    );
  }
  // One B for a stack of A: one tall matrix.
  const stack = sizeOf(leading);
  if (shared && stack !== 1) {
    if (transposeA) {
      throw new ShapeError(
        "shape-batch",
        `matmul: a transposed stack ${formatShape(a.shape)} times one matrix ${formatShape(b.shape)} is not ` +
          "supported; transpose it first",
        { a: a.shape, b: b.shape },
      );
    }
    return product(a, b, { batch: 1, m: stack * m, n, k, transposeA, transposeB }, [...leading, m, n]);
  }
  return product(a, b, { batch: stack, m, n, k, transposeA, transposeB }, [...leading, m, n]);
}

type Dims = Parameters<Tensor["device"]["kernels"]["matmul"]>[2];

function product(a: Tensor, b: Tensor, dims: Dims, shape: Shape): Tensor {
  const { device } = a;
  const { batch, m, n, k, transposeA, transposeB } = dims;
  const run = (left: Storage, right: Storage, rest: Omit<Dims, "batch">): Storage =>
    device.kernels.matmul(left, right, { batch, ...rest });
  return record(device, run(a.storage, b.storage, dims), shape, [a, b], (dy) => {
    const dA = (): Storage =>
      transposeA // A stored [K, M]: dAᵀ = op(B)·dCᵀ
        ? run(b.storage, dy.storage, { m: k, n: m, k: n, transposeA: transposeB, transposeB: true })
        : run(dy.storage, b.storage, { m, n: k, k: n, transposeA: false, transposeB: !transposeB });
    const dB = (): Storage =>
      transposeB // B stored [N, K]: dBᵀ = dCᵀ·op(A)
        ? run(dy.storage, a.storage, { m: n, n: k, k: m, transposeA: true, transposeB: transposeA })
        : run(a.storage, dy.storage, { m: k, n, k: m, transposeA: !transposeA, transposeB: false });
    return [
      a.requiresGrad ? new Tensor(device, dA(), a.shape) : undefined,
      b.requiresGrad ? new Tensor(device, dB(), b.shape) : undefined,
    ];
  });
}

function matrixAxes(shape: Shape, transposed: boolean): [number, number] {
  const rows = shape.at(-2);
  const columns = shape.at(-1);
  if (rows === undefined || columns === undefined) {
    throw new ShapeError("shape-rank", `matmul: expected at least two axes, found ${formatShape(shape)}`, { shape });
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
    const product = device.kernels.matmul(x.storage, weight.storage, {
      batch: 1,
      m: rows,
      n,
      k,
      transposeA: false,
      transposeB: true,
    });
    return recordLinear(x, weight, bias, residual, addTo(device, product, rows, n, bias, residual), {
      rows,
      n,
      k,
      shape,
    });
  }
  const y = device.kernels.linear(x.storage, weight.storage, rows, bias?.storage, residual?.storage);
  // Decoding needs no record, a percent of the time of a model of hidden size 128.
  const tracked = x.requiresGrad || bias?.requiresGrad === true || residual?.requiresGrad === true;
  return tracked ? recordLinear(x, weight, bias, residual, y, { rows, n, k, shape }) : new Tensor(device, y, shape);
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

/** dx = dy·W, dW = dyᵀ·x, dbias = Σ over rows of dy, dresidual = dy. */
function recordLinear(
  x: Tensor,
  weight: Tensor | PackedMatrix,
  bias: Tensor | undefined,
  residual: Tensor | undefined,
  y: Storage,
  { rows, n, k, shape }: { readonly rows: number; readonly n: number; readonly k: number; readonly shape: Shape },
): Tensor {
  const { device } = x;
  const { kernels } = device;
  const trainable = weight instanceof PackedMatrix ? undefined : weight;
  const inputs = [x, ...(trainable ? [trainable] : []), ...(bias ? [bias] : []), ...(residual ? [residual] : [])];
  return record(device, y, shape, inputs, (dy) => {
    const flows: (Tensor | undefined)[] = [];
    if (weight instanceof PackedMatrix) {
      flows.push(
        x.requiresGrad
          ? new Tensor(device, kernels.linearBackward(dy.storage, weight.storage, rows), x.shape)
          : undefined,
      );
    } else {
      const product = (a: Storage, b: Storage, dims: Omit<Dims, "batch">, of: Shape): Tensor =>
        new Tensor(device, kernels.matmul(a, b, { batch: 1, ...dims }), of);
      flows.push(
        x.requiresGrad
          ? product(dy.storage, weight.storage, { m: rows, n: k, k: n, transposeA: false, transposeB: false }, x.shape)
          : undefined,
        weight.requiresGrad
          ? product(dy.storage, x.storage, { m: n, n: k, k: rows, transposeA: true, transposeB: false }, weight.shape)
          : undefined,
      );
    }
    if (bias) {
      flows.push(
        bias.requiresGrad ? new Tensor(device, kernels.sumTo(dy.storage, [rows, n], [1, n]), bias.shape) : undefined,
      );
    }
    if (residual) flows.push(dy);
    return flows;
  });
}

/** Frees the intermediate storages. */
function addTo(
  device: Tensor["device"],
  y: Storage,
  rows: number,
  n: number,
  bias: Tensor | undefined,
  residual: Tensor | undefined,
): Storage {
  let sum = y;
  for (const [term, strides] of [
    [bias, [0, 1]],
    [residual, [n, 1]],
  ] as const) {
    if (term === undefined) continue;
    const next = device.kernels.binary("add", sum, term.storage, [rows, n], [n, 1], strides);
    device.free(sum);
    sum = next;
  }
  return sum;
}
