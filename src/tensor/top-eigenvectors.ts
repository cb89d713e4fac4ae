/**
 * The top r eigenvectors of a symmetric positive semi-definite matrix A [c, c], by orthogonal iteration (Golub & Van
 * Loan, section 8.2.4). With A = MᵀM they are the right singular vectors of M's best approximation of rank r; c is a
 * hidden size. Work in parts, row by row.
 */
import type { InParts } from "../turns.js";
import type { Rng } from "./rng.js";

const ITERATIONS = 40;

/** Rows [r, c]: orthonormal vectors that span (nearly) the dominant eigenspace of A [c, c]. */
export function* topEigenvectors(a: Float64Array, c: number, r: number, rng: Rng): InParts<Float64Array> {
  let vectors = yield* orthonormalRows(
    Float64Array.from({ length: r * c }, () => rng.normal()),
    r,
    c,
  );
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const image = new Float64Array(r * c);
    for (let k = 0; k < r; k++) {
      yield;
      for (let i = 0; i < c; i++) {
        let sum = 0;
        for (let j = 0; j < c; j++) sum += a[i * c + j]! * vectors[k * c + j]!;
        image[k * c + i] = sum;
      }
    }
    vectors = yield* orthonormalRows(image, r, c);
  }
  return vectors;
}

/** Modified Gram-Schmidt. A row that vanishes, because A has a lower rank, stays zero. */
function* orthonormalRows(rows: Float64Array, r: number, c: number): InParts<Float64Array> {
  for (let k = 0; k < r; k++) {
    yield;
    const row = rows.subarray(k * c, (k + 1) * c);
    const before = Math.hypot(...row);
    for (let other = 0; other < k; other++) {
      let dot = 0;
      for (let i = 0; i < c; i++) dot += row[i]! * rows[other * c + i]!;
      for (let i = 0; i < c; i++) row[i]! -= dot * rows[other * c + i]!;
    }
    const length = Math.hypot(...row);
    for (let i = 0; i < c; i++) row[i] = length > 1e-10 * before ? row[i]! / length : 0;
  }
  return rows;
}
