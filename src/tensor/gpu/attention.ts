/**
 * Rotary positions and causal attention on the GPU device; formulas: reference/attention.ts. Scores are stored
 * [R·H, S], go through softmax as rows, and weigh the values: an output element that recomputed its scores would do D
 * times the work. Row (r, h) of the scores is r·H + h, as queries are laid out. `time` is the length of a batch's
 * sequences; a cache's queries belong to one sequence, and are fewer than `time`. Head h reads key/value head
 * floor(h / group). Masked scores are -1e30: a literal -Infinity does not survive the translation.
 *
 * The cache is two resident arrays [capacity, G·D], written in place on the device. If a backend cannot (WebGL), a
 * changed copy replaces the array.
 */
import type { AttentionDims, AttentionKernels, CacheSegment, CacheStorage, Rope, Storage } from "../device.js";
import { deviceMixed, storageFreed } from "../device-errors.js";
import { columns, concat } from "./movement.js";
import type { Engine, GpuStorage } from "./engine.js";
import { softmaxRows, softmaxRowsBackward } from "./rows.js";
import { matrixKernel } from "./kernel-source.js";

/** x [R·heads, D] turned by the angles of its positions; `sign` -1 turns back. */
const rope = matrixKernel(
  "rope",
  "array x positions cos sin, integer heads headDim half, float sign",
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
const scores = matrixKernel(
  "scores",
  "array q k positions, integer first heads group kvHeads headDim time window, float factor",
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
const probabilityGradient = matrixKernel(
  "probabilityGradient",
  "array dy v, integer heads group kvHeads headDim time",
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
const weightedSum = matrixKernel(
  "weightedSum",
  "array weights v, integer visible heads group kvHeads headDim time, float factor",
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
const readersSum = matrixKernel(
  "readersSum",
  "array weights x, integer heads group kvHeads headDim time, float factor",
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

export class GpuCache implements CacheStorage {
  readonly keys: GpuStorage;
  readonly values: GpuStorage;
  readonly dtype = "float32";
  freed = false;

  constructor(
    readonly engine: Engine,
    readonly kvHeads: number,
    readonly headDim: number,
    readonly capacity: number,
  ) {
    const length = capacity * kvHeads * headDim;
    engine.requireExact("createCache: a cache", length);
    this.keys = engine.zeros(length);
    this.values = engine.zeros(length);
  }

  get bytes(): number {
    return 4 * (this.keys.length + this.values.length);
  }

  free(): void {
    this.freed = true;
    this.engine.free(this.keys);
    this.engine.free(this.values);
  }
}

/** x [rows, heads, headDim], one position per row. */
interface Rotation {
  readonly x: Storage;
  readonly positions: GpuStorage;
  readonly tables: Rope;
  readonly heads: number;
  readonly headDim: number;
  readonly inverse?: boolean;
}

export function cacheOf(engine: Engine, cache: CacheStorage): GpuCache {
  if (!(cache instanceof GpuCache) || cache.engine !== engine) {
    throw deviceMixed("gpu", "a cache", "create one on this device");
  }
  if (cache.freed) throw storageFreed("gpu", "a cache");
  return cache;
}

export function attentionKernels(engine: Engine): AttentionKernels {
  const rotate = ({ x, positions, tables, heads, headDim, inverse = false }: Rotation): GpuStorage => {
    const rows = positions.length * heads;
    engine.requireRows("rope", rows);
    return engine.matrix(rope, rows, headDim, {
      x,
      positions,
      cos: tables.cos,
      sin: tables.sin,
      heads,
      headDim,
      half: tables.rotaryDim / 2,
      sign: inverse ? -1 : 1,
    });
  };

  /** Probabilities [B·T·H, T] of whole sequences. */
  const probabilities = (q: Storage, k: Storage, dims: AttentionDims): GpuStorage =>
    engine.scope(() => {
      const { batch, time, heads, kvHeads, headDim, window = time } = dims;
      engine.requireExact("attention: scores", batch * time * heads * time);
      engine.requireExact("attention: queries", q.length);
      const positions = engine.integers(Array.from({ length: batch * time }, (_, i) => i % time));
      const x = engine.matrix(scores, batch * time * heads, time, {
        q,
        k,
        positions,
        first: 0,
        heads,
        group: heads / kvHeads,
        kvHeads,
        headDim,
        time,
        window,
        factor: 1 / Math.sqrt(headDim),
      });
      return softmaxRows(engine, x, batch * time * heads, time);
    });

  return {
    rope: (x, positions, tables, heads, headDim, inverse) =>
      rotate({ x, positions: engine.integers(positions), tables, heads, headDim, inverse }),

    attention: (q, k, v, dims) => {
      const { batch, time, heads, kvHeads, headDim } = dims;
      return engine.matrix(weightedSum, batch * time * heads, headDim, {
        weights: probabilities(q, k, dims),
        v,
        visible: time,
        heads,
        group: heads / kvHeads,
        kvHeads,
        headDim,
        time,
        factor: 1,
      });
    },

    attentionBackward: (q, k, v, dy, dims) => {
      const { batch, time, heads, kvHeads, headDim } = dims;
      const queries = batch * time * heads;
      const factor = 1 / Math.sqrt(headDim);
      const shared = { heads, group: heads / kvHeads, kvHeads, headDim, time };
      const p = probabilities(q, k, dims);
      const dp = engine.matrix(probabilityGradient, queries, time, { dy, v, ...shared });
      const ds = softmaxRowsBackward(engine, p, dp, queries, time);
      return {
        dq: engine.matrix(weightedSum, queries, headDim, { weights: ds, v: k, visible: time, ...shared, factor }),
        dk: engine.matrix(readersSum, batch * time * kvHeads, headDim, { weights: ds, x: q, ...shared, factor }),
        dv: engine.matrix(readersSum, batch * time * kvHeads, headDim, { weights: p, x: dy, ...shared, factor: 1 }),
      };
    },

    cacheWrite(segments, kv, tables): void {
      const [head] = segments;
      if (head === undefined) return;
      const { kvHeads, headDim } = head.cache;
      const width = kvHeads * headDim;
      const all = segments.flatMap(({ positions }) => positions);
      const half = (begin: number): GpuStorage =>
        engine.matrix(columns, all.length, width, { x: kv, width: 2 * width, begin });
      const fresh = half(0);
      const values = half(width);
      const keys =
        tables === undefined
          ? fresh
          : rotate({ x: fresh, positions: engine.integers(all), tables, heads: kvHeads, headDim });
      for (const { target, position, row, count } of runs(engine, segments)) {
        const range = { begin: position * width, from: row * width, length: count * width };
        engine.overwrite({ target: target.keys, source: keys, ...range });
        engine.overwrite({ target: target.values, source: values, ...range });
      }
    },

    cacheAttention: (segments, q, heads, tables, window) => {
      const [head] = segments;
      if (head === undefined) return engine.zeros(0);
      const { kvHeads, headDim } = head.cache;
      const all = segments.flatMap(({ positions }) => positions);
      const positions = engine.integers(all);
      const turned = tables === undefined ? q : rotate({ x: q, positions, tables, heads, headDim });
      const shared = { heads, group: heads / kvHeads, kvHeads, headDim, time: all.length + 1 };
      let first = 0;
      const outputs = segments
        .filter((segment) => segment.positions.length > 0)
        .map((segment) => {
          const { keys, values } = cacheOf(engine, segment.cache);
          const queries = segment.positions.length * heads;
          const visible = segment.positions.reduce((longest, position) => Math.max(longest, position + 1), 0);
          const x = engine.matrix(scores, queries, visible, {
            q: turned,
            k: keys,
            positions,
            first,
            ...shared,
            window: window ?? visible,
            factor: 1 / Math.sqrt(headDim),
          });
          first += segment.positions.length;
          return engine.matrix(weightedSum, queries, headDim, {
            weights: softmaxRows(engine, x, queries, visible),
            v: values,
            visible,
            ...shared,
            factor: 1,
          });
        });
      return outputs.length === 1 ? outputs[0]! : concat(engine, outputs);
    },
  };
}

/** Runs of rows for neighbouring positions of one cache, to make few copies. */
function* runs(
  engine: Engine,
  segments: readonly CacheSegment[],
): Generator<{ target: GpuCache; position: number; row: number; count: number }> {
  let row = 0;
  for (const { cache, positions } of segments) {
    const target = cacheOf(engine, cache);
    for (let begin = 0; begin < positions.length;) {
      let end = begin + 1;
      while (end < positions.length && positions[end] === positions[begin]! + end - begin) end++;
      yield { target, position: positions[begin]!, row: row + begin, count: end - begin };
      begin = end;
    }
    row += positions.length;
  }
}
