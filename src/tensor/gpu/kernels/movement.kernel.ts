/**
 * Moving and summing. Each kernel asks where its element comes from, never where it goes: there are no atomic
 * additions, so gradients of reads (scatter, take) look up which rows read an element.
 */
import { matrixKernel, vectorKernel } from "./kernel-source.js";

/** A copy of x on the device: WebGL gets data this way. */
export const copy = vectorKernel(
  "copy",
  { x: "array" },
  `
  return x[COLUMN];
`,
);

export const slice = vectorKernel(
  "slice",
  { x: "array", begin: "integer" },
  `
  return x[begin + COLUMN];
`,
);

/** a, then b; a has `length` elements. */
export const join = vectorKernel(
  "join",
  { a: "array", b: "array", length: "integer" },
  `
  let y = 0;
  if (COLUMN < length) {
    y = a[COLUMN];
  } else {
    y = b[COLUMN - length];
  }
  return y;
`,
);

/** [R, left] and [R, right], side by side. */
export const joinColumns = matrixKernel(
  "joinColumns",
  { a: "array", b: "array", left: "integer", right: "integer" },
  `
  let y = 0;
  if (COLUMN < left) {
    y = a[ROW * left + COLUMN];
  } else {
    y = b[ROW * right + COLUMN - left];
  }
  return y;
`,
);

/** x with elements [begin, begin + length) replaced by fresh[from ..]. */
export const overwrite = vectorKernel(
  "overwrite",
  { x: "array", fresh: "array", begin: "integer", from: "integer", length: "integer" },
  `
  let y = x[COLUMN];
  if (COLUMN >= begin && COLUMN < begin + length) {
    y = fresh[COLUMN - begin + from];
  }
  return y;
`,
);

export const columns = matrixKernel(
  "columns",
  { x: "array", width: "integer", begin: "integer" },
  `
  return x[ROW * width + begin + COLUMN];
`,
);

/** dy [R, kept] inside zeros, from column `begin` on. */
export const columnsBackward = matrixKernel(
  "columnsBackward",
  { dy: "array", begin: "integer", kept: "integer" },
  `
  let y = 0;
  if (COLUMN >= begin && COLUMN < begin + kept) {
    y = dy[ROW * kept + COLUMN - begin];
  }
  return y;
`,
);

export const gather = matrixKernel(
  "gather",
  { table: "array", ids: "array", width: "integer" },
  `
  return table[(ids[ROW] | 0) * width + COLUMN];
`,
);

/**
 * Row r of the table was read by rows order[starts[r]] .. order[starts[r + 1] - 1] of dy, at most `longest` of them.
 */
export const scatterAdd = matrixKernel(
  "scatterAdd",
  { dy: "array", starts: "array", order: "array", width: "integer", longest: "integer" },
  `
  let sum = 0;
  for (let t = 0; t < longest; t++) {
    if (starts[ROW] + t < starts[ROW + 1]) {
      sum += dy[(order[(starts[ROW] | 0) + t] | 0) * width + COLUMN];
    }
  }
  return sum;
`,
);

export const takeAlongRows = matrixKernel(
  "takeAlongRows",
  { x: "array", ids: "array", width: "integer", k: "integer" },
  `
  return x[ROW * width + (ids[ROW * k + COLUMN] | 0)];
`,
);

export const takeAlongRowsBackward = matrixKernel(
  "takeAlongRowsBackward",
  { dy: "array", ids: "array", k: "integer" },
  `
  let sum = 0;
  for (let t = 0; t < k; t++) {
    if (Math.abs(ids[ROW * k + t] - COLUMN) < 0.5) {
      sum += dy[ROW * k + t];
    }
  }
  return sum;
`,
);

/** [outer, n, inner] -> [outer, inner]. */
export const sumMiddle = matrixKernel(
  "sumMiddle",
  { x: "array", n: "integer", inner: "integer" },
  `
  let sum = 0;
  for (let t = 0; t < n; t++) {
    sum += x[(ROW * n + t) * inner + COLUMN];
  }
  return sum;
`,
);

/** Sums eight neighbours: a long sum is a tree, whose error grows with its height. */
export const sumEight = vectorKernel(
  "sumEight",
  { x: "array", length: "integer" },
  `
  let sum = 0;
  for (let t = 0; t < 8; t++) {
    if (8 * COLUMN + t < length) {
      sum += x[8 * COLUMN + t];
    }
  }
  return sum;
`,
);

export const sumEightSquares = vectorKernel(
  "sumEightSquares",
  { x: "array", length: "integer" },
  `
  let sum = 0;
  for (let t = 0; t < 8; t++) {
    if (8 * COLUMN + t < length) {
      sum += x[8 * COLUMN + t] * x[8 * COLUMN + t];
    }
  }
  return sum;
`,
);
