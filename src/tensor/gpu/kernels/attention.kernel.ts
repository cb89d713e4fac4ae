/**
 * Rotary positions and causal attention; formulas: reference/attention.ts. Scores are stored [R·H, S], go through
 * softmax as rows, and weigh the values: an output element that recomputed its scores would do D times the work. Row
 * (r, h) of the scores is r·H + h, as queries are laid out. `time` is the length of a batch's sequences; a cache's
 * queries belong to one sequence, and are fewer than `time`. Head h reads key/value head floor(h / group). Masked
 * scores are -1e30: a literal -Infinity does not survive the translation.
 */
import { matrixKernel } from "./kernel-source.js";

/** x [R·heads, D] turned by the angles of its positions; `sign` -1 turns back. */
export const rope = matrixKernel(
  "rope",
  {
    x: "array",
    positions: "array",
    cos: "array",
    sin: "array",
    heads: "integer",
    headDim: "integer",
    half: "integer",
    sign: "float",
  },
  `
  const table = positions[Math.floor((ROW + 0.5) / heads)] * half;
  let y = x[ROW * headDim + COLUMN];
  if (COLUMN < half) {
    y = y * cos[table + COLUMN] - x[ROW * headDim + COLUMN + half] * sin[table + COLUMN] * sign;
  } else {
    if (COLUMN < 2 * half) {
      y = y * cos[table + COLUMN - half] + x[ROW * headDim + COLUMN - half] * sin[table + COLUMN - half] * sign;
    }
  }
  return y;
`,
);

/** The first key of the sequence that row ROW belongs to, counted in vectors of D, into `begin`. */
const firstKey = `
  const r = Math.floor((ROW + 0.5) / heads);
  const head = Math.floor((ROW - r * heads + 0.5) / group);
  const begin = Math.floor((r + 0.5) / time) * time * kvHeads + head;`;

/** q·k_s / √D if s is among the last `window` positions up to the row's. */
export const scores = matrixKernel(
  "scores",
  {
    q: "array",
    k: "array",
    positions: "array",
    first: "integer",
    heads: "integer",
    group: "integer",
    kvHeads: "integer",
    headDim: "integer",
    time: "integer",
    window: "integer",
    factor: "float",
  },
  `
  ${firstKey}
  let y = -1e30;
  if (COLUMN <= positions[first + r] && COLUMN > positions[first + r] - window) {
    let dot = 0;
    for (let i = 0; i < headDim; i++) {
      dot += q[(first * heads + ROW) * headDim + i] * k[(begin + COLUMN * kvHeads) * headDim + i];
    }
    y = dot * factor;
  }
  return y;
`,
);

/** dy·v_s: the gradient of a probability. */
export const probabilityGradient = matrixKernel(
  "probabilityGradient",
  {
    dy: "array",
    v: "array",
    heads: "integer",
    group: "integer",
    kvHeads: "integer",
    headDim: "integer",
    time: "integer",
  },
  `
  ${firstKey}
  let dot = 0;
  for (let i = 0; i < headDim; i++) {
    dot += dy[ROW * headDim + i] * v[(begin + COLUMN * kvHeads) * headDim + i];
  }
  return dot;
`,
);

/**
 * factor · Σ_s weight_s · v_s: the output of attention or, with the scores' gradient and the keys, a query's gradient.
 */
export const weightedSum = matrixKernel(
  "weightedSum",
  {
    weights: "array",
    v: "array",
    visible: "integer",
    heads: "integer",
    group: "integer",
    kvHeads: "integer",
    headDim: "integer",
    time: "integer",
    factor: "float",
  },
  `
  ${firstKey}
  let sum = 0;
  for (let s = 0; s < visible; s++) {
    sum += weights[ROW * visible + s] * v[(begin + s * kvHeads) * headDim + COLUMN];
  }
  return sum * factor;
`,
);

/**
 * For key/value row ROW = (b·T + s)·G + g, over the queries (t, h) that may read it:
 *   factor · Σ weight_(t, h, s) · x_(t, h)
 */
export const readersSum = matrixKernel(
  "readersSum",
  {
    weights: "array",
    x: "array",
    heads: "integer",
    group: "integer",
    kvHeads: "integer",
    headDim: "integer",
    time: "integer",
    factor: "float",
  },
  `
  const at = Math.floor((ROW + 0.5) / kvHeads);
  const sequence = Math.floor((at + 0.5) / time);
  const s = at - sequence * time;
  const begin = sequence * time * heads + (ROW - at * kvHeads) * group;
  let sum = 0;
  for (let t = 0; t < time; t++) {
    for (let h = 0; h < group; h++) {
      sum += weights[(begin + t * heads + h) * time + s] * x[(begin + t * heads + h) * headDim + COLUMN];
    }
  }
  return sum * factor;
`,
);
