/**
 * Matrix products, one dot product per element, no tiles and no shared memory: gpu.js has neither
 * (docs/gpu-kernels.md).
 *   matmul  y[r, n] = Σ_k A(r, k) · B(k, n), operands read through strides, so that transposed ones need no copy
 *   linear  y = x·Wᵀ + bias + residual, W stored [K, N]: neighbouring threads read neighbouring weights
 * Four sums at a time, because a single sum waits for its own previous addition.
 */
import { matrixKernel } from "./kernel-source.js";

/** Σ_t left(t) · right(t) over 4·quarters + rest terms, into `total`. */
const dot = (left: (t: string) => string, right: (t: string) => string): string => {
  const product = (t: string): string => `${left(t)} * ${right(t)}`;
  return `
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  for (let t = 0; t < quarters; t++) {
    sum0 += ${product("(4 * t + 0)")};
    sum1 += ${product("(4 * t + 1)")};
    sum2 += ${product("(4 * t + 2)")};
    sum3 += ${product("(4 * t + 3)")};
  }
  for (let u = 0; u < rest; u++) {
    sum0 += ${product("(4 * quarters + u)")};
  }
  let total = (sum0 + sum1) + (sum2 + sum3);`;
};

export const matmul = matrixKernel(
  "matmul",
  {
    a: "array",
    b: "array",
    aRow: "integer",
    aStep: "integer",
    bColumn: "integer",
    bStep: "integer",
    quarters: "integer",
    rest: "integer",
  },
  `
  ${dot(
    (t) => `a[ROW * aRow + ${t} * aStep]`,
    (t) => `b[COLUMN * bColumn + ${t} * bStep]`,
  )}
  return total;
`,
);

/** A stack of products: row z·m + i belongs to matrix z. */
export const matmulStack = matrixKernel(
  "matmulStack",
  {
    a: "array",
    b: "array",
    m: "integer",
    aMatrix: "integer",
    bMatrix: "integer",
    aRow: "integer",
    aStep: "integer",
    bColumn: "integer",
    bStep: "integer",
    quarters: "integer",
    rest: "integer",
  },
  `
  const z = Math.floor((ROW + 0.5) / m);
  const aBegin = z * aMatrix + (ROW - z * m) * aRow;
  const bBegin = z * bMatrix;
  ${dot(
    (t) => `a[aBegin + ${t} * aStep]`,
    (t) => `b[bBegin + COLUMN * bColumn + ${t} * bStep]`,
  )}
  return total;
`,
);

/** Columns [first, first + n) of x·Wᵀ + bias + residual, of `width` in all. */
export const linear = matrixKernel(
  "linear",
  {
    x: "array",
    w: "array",
    bias: "array",
    residual: "array",
    k: "integer",
    n: "integer",
    first: "integer",
    width: "integer",
    quarters: "integer",
    rest: "integer",
    hasBias: "integer",
    hasResidual: "integer",
  },
  `
  ${dot(
    (t) => `x[ROW * k + ${t}]`,
    (t) => `w[${t} * n + COLUMN]`,
  )}
  if (hasBias > 0) {
    total += bias[first + COLUMN];
  }
  if (hasResidual > 0) {
    total += residual[ROW * width + first + COLUMN];
  }
  return total;
`,
);

/** dx = before + dy[:, first .. first + n) · W. */
export const linearBackward = matrixKernel(
  "linearBackward",
  {
    dy: "array",
    w: "array",
    before: "array",
    k: "integer",
    n: "integer",
    first: "integer",
    width: "integer",
    quarters: "integer",
    rest: "integer",
    more: "integer",
  },
  `
  ${dot(
    (t) => `dy[ROW * width + first + ${t}]`,
    (t) => `w[COLUMN * n + ${t}]`,
  )}
  if (more > 0) {
    total += before[ROW * k + COLUMN];
  }
  return total;
`,
);

/** Rows ids of W [N, K], stored [K, n] from row `first` on; rows outside are taken from `before`. */
export const gatherWeights = matrixKernel(
  "gatherWeights",
  { w: "array", ids: "array", before: "array", k: "integer", n: "integer", first: "integer", more: "integer" },
  `
  let y = 0;
  if (more > 0) {
    y = before[ROW * k + COLUMN];
  }
  if (ids[ROW] >= first && ids[ROW] < first + n) {
    y = w[COLUMN * n + (ids[ROW] | 0) - first];
  }
  return y;
`,
);
