/**
 * Solves A·X = B for a symmetric positive definite A (the normal equations of least squares) by the Cholesky
 * factorization
 *   A = L·Lᵀ,  L·Y = B,  Lᵀ·X = Y
 * in float64, on the host: A has the size of a hidden state, and is factored once for many right-hand sides. Work in
 * parts, row by row (`atOnce`, `inTurns`).
 */
import { ShapeError } from "../errors.js";
import type { InParts } from "../turns.js";

/**
 * Returns X [n, m] from A [n, n] and B [n, m], row-major; neither is changed. Throws a ShapeError if A is not positive
 * definite.
 */
export function* solveSymmetric(a: Float64Array, b: Float64Array, n: number): InParts<Float64Array> {
  const m = b.length / n;
  if (a.length !== n * n || !Number.isInteger(m)) {
    throw new ShapeError(
      "shape-solve",
      `solveSymmetric: ${a.length} and ${b.length} values are not [${n}, ${n}] and [${n}, m]`,
      { a: a.length, b: b.length, n },
    );
  }
  const l = yield* choleskyFactor(a, n);
  const x = Float64Array.from(b);
  // L·Y = B from the first row down, then Lᵀ·X = Y from the last row up, by rows of X to read memory in order.
  for (let i = 0; i < n; i++) {
    yield;
    for (let k = 0; k < i; k++) subtractRow(x, i, k, l[i * n + k]!, m);
    divideRow(x, i, l[i * n + i]!, m);
  }
  for (let i = n - 1; i >= 0; i--) {
    yield;
    for (let k = i + 1; k < n; k++) subtractRow(x, i, k, l[k * n + i]!, m);
    divideRow(x, i, l[i * n + i]!, m);
  }
  return x;
}

/** The lower triangle L [n, n] with L·Lᵀ = A. Throws a ShapeError if A is not positive definite. */
export function* choleskyFactor(a: Float64Array, n: number): InParts<Float64Array> {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    yield;
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      if (i === j && !(sum > 0)) {
        throw new ShapeError(
          "not-positive-definite",
          `solveSymmetric: pivot ${i} of ${n} is ${sum}; the matrix is not positive definite (give more data, ` +
            "or a larger ridge)",
          { pivot: i, value: sum },
        );
      }
      l[i * n + j] = i === j ? Math.sqrt(sum) : sum / l[j * n + j]!;
    }
  }
  return l;
}

/** Row i minus factor times row k. */
function subtractRow(x: Float64Array, i: number, k: number, factorOf: number, m: number): void {
  if (factorOf === 0) return;
  for (let c = 0; c < m; c++) x[i * m + c]! -= factorOf * x[k * m + c]!;
}

function divideRow(x: Float64Array, i: number, by: number, m: number): void {
  for (let c = 0; c < m; c++) x[i * m + c]! /= by;
}
