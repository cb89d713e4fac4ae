/** Symmetric systems: a golden one, random ones against their own product, and refusals. */
import { between, fc, test } from "../support/property.js";
import { createRng } from "early-exits/tensor";
import { atOnce } from "../../src/turns.js";
import { solveSymmetric } from "../../src/tensor/cholesky.js";
import { expect, it } from "vitest";

const solve = (a: Float64Array, b: Float64Array, n: number) => atOnce(solveSymmetric(a, b, n));

it("solves [[4, 2], [2, 3]]·x = [[2, 8], [1, 7]]", () => {
  const x = solve(Float64Array.of(4, 2, 2, 3), Float64Array.of(2, 8, 1, 7), 2);
  [0.5, 1.25, 0, 1.5].forEach((value, i) => expect(x[i]).toBeCloseTo(value, 12));
});

test.prop([between(1, 12), between(1, 5), fc.nat()])("A·X is B again, for random positive definite A", (n, m, seed) => {
  const rng = createRng(seed);
  const root = Float64Array.from({ length: n * n }, () => rng.normal());
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < n; k++) a[i * n + j]! += root[i * n + k]! * root[j * n + k]! + (i === j ? 0.1 / n : 0);
    }
  }
  const b = Float64Array.from({ length: n * m }, () => rng.normal());
  const x = solve(a, b, n);
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < m; c++) {
      let product = 0;
      for (let k = 0; k < n; k++) product += a[i * n + k]! * x[k * m + c]!;
      expect(product).toBeCloseTo(b[i * m + c]!, 8);
    }
  }
});

it("refuses matrices that are not positive definite, and shapes that do not fit", () => {
  expect(() => solve(Float64Array.of(1, 2, 2, 1), Float64Array.of(1, 1), 2)).toThrow(/pivot 1 of 2 is -3/);
  expect(() => solve(Float64Array.of(1, 2, 2), Float64Array.of(1, 1), 2)).toThrow(/are not \[2, 2\]/);
});
