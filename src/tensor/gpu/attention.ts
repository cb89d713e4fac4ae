/**
 * Rotary positions, attention, and the cache: two resident arrays [capacity, G·D], written in place on the device. If a
 * backend cannot (WebGL), a changed copy replaces the array.
 */
import type { AttentionDims, AttentionKernels, CacheSegment, CacheStorage, Rope, Storage } from "../device.js";
import { deviceMixed, storageFreed } from "../device-errors.js";
import { columns } from "./kernels/movement.kernel.js";
import { probabilityGradient, readersSum, rope, scores, weightedSum } from "./kernels/attention.kernel.js";
import type { Engine, GpuStorage } from "./engine.js";
import { concat } from "./movement.js";
import { softmaxRows, softmaxRowsBackward } from "./rows.js";

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
      engine.scope(() => rotate({ x, positions: engine.integers(positions), tables, heads, headDim, inverse })),

    attention: (q, k, v, dims) =>
      engine.scope(() => {
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
      }),

    attentionBackward: (q, k, v, dy, dims) =>
      engine.scope(() => {
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
      }),

    cacheWrite(segments, kv, tables): void {
      const [head] = segments;
      if (head === undefined) return;
      engine.scope(() => {
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
        return undefined;
      });
    },

    cacheAttention: (segments, q, heads, tables, window) =>
      engine.scope(() => {
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
      }),
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
