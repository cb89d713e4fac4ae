/**
 * Rotary positions and attention (kernels/attention). Each segment of a batch attends to its own cache; threads share
 * the heads of all segments.
 */
import type { AttentionDims, AttentionKernels, CachedTexts, CacheSegment, Rope } from "../device.js";
import { CACHE_KINDS, type Engine } from "./engine.js";
import type { KernelArguments } from "./kernels/kernels.generated.js";

/** Rough speed of one thread, for sharing. */
const MACS_PER_US = 10_000;
/** With fewer rows per thread, a segment is not divided. */
const LEAST_ROWS = 16;
const MOST_ROWS = 64;
/** Divides a part's rows, so that few tiles are not full. */
const TILE_ROWS = 8;

/** Addresses of cosines and sines, and half the rotated dimensions; `half` 0 rotates nothing. */
interface RopeTables {
  readonly cos: number;
  readonly sin: number;
  readonly half: number;
}

const NO_ROPE: RopeTables = { cos: 0, sin: 0, half: 0 };

function tablesOf(engine: Engine, rope: Rope | undefined): RopeTables {
  if (rope === undefined) return NO_ROPE;
  return { cos: engine.at(rope.cos), sin: engine.at(rope.sin), half: rope.rotaryDim / 2 };
}

/** `cacheWrite` of kv at address `from`. */
export function writeCaches(
  engine: Engine,
  segments: readonly CacheSegment[],
  from: number,
  rope: Rope | undefined,
): void {
  const { cos, sin, half } = tablesOf(engine, rope);
  for (const segment of segments) {
    const { keys, values, dtype, headDim, kvHeads } = engine.cache(segment.cache);
    const rows = segment.positions.length;
    engine.wasm.cacheWrite({
      kv: from,
      keys,
      values,
      kind: CACHE_KINDS[dtype],
      d: headDim,
      groups: kvHeads,
      rows,
      positions: engine.indices(segment.positions),
      cos,
      sin,
      half,
      work: engine.work(4 * headDim + 64),
    });
    from += 8 * rows * kvHeads * headDim;
  }
}

/** `cacheAttention` of q at an address, to address y. */
export function attendCaches(
  engine: Engine,
  segments: readonly CacheSegment[],
  q: number,
  y: number,
  { heads, rope, window = 0 }: { readonly heads: number } & Pick<CachedTexts, "rope" | "window">,
): void {
  const { cos, sin, half } = tablesOf(engine, rope);
  const only = segments.length === 1 ? segments[0]!.positions : undefined;
  const positions = engine.indices(only ?? segments.flatMap((segment) => segment.positions));
  let workBytes = 0;
  for (const segment of segments) workBytes = Math.max(workBytes, workBytesOf(engine, segment, heads));
  const work = engine.work(workBytes);
  let row = 0; // the first of the segment
  let items = 0;
  let us = 0;
  const calls: KernelArguments["cacheAttention"][] = [];
  for (const segment of segments) {
    const { keys, values, dtype, capacity, headDim, kvHeads } = engine.cache(segment.cache);
    const most = window === 0 ? capacity : window;
    for (const position of segment.positions) {
      us += (2 * Math.min(most, position + 1) * heads * headDim) / MACS_PER_US;
    }
    for (const rows of partsOf(segment.positions.length, engine.threads)) {
      calls.push({
        q: q + 4 * row * heads * headDim,
        y: y + 4 * row * heads * headDim,
        keys,
        values,
        stride: kvHeads,
        kind: CACHE_KINDS[dtype],
        d: headDim,
        heads,
        groups: kvHeads,
        rows,
        positions: positions + 4 * row,
        cos,
        sin,
        half,
        window,
        work,
      });
      items += kvHeads;
      row += rows;
    }
  }
  engine.shareAll("cacheAttention", calls, { items, us });
}

export function attentionKernels(engine: Engine): AttentionKernels {
  const { wasm } = engine;
  /** Arguments that attention and its gradient share. */
  const training = ({ time, heads, kvHeads, headDim, window = 0 }: AttentionDims) => {
    const sizes = { time, heads, groups: kvHeads, d: headDim };
    return { ...sizes, window, work: engine.work(wasm.attentionWorkBytes({ ...sizes, rows: time, training: 1 })) };
  };
  const workOf = ({ batch, time, heads, kvHeads, headDim }: AttentionDims, passes: number) => ({
    items: batch * kvHeads,
    us: (passes * batch * time * time * heads * headDim) / MACS_PER_US,
  });

  return {
    rope(x, positions, rope, heads, headDim, inverse) {
      const y = engine.allocate(x.length);
      const { cos, sin, half } = tablesOf(engine, rope);
      wasm.rope({
        x: engine.at(x),
        positions: engine.indices(positions),
        y: y.address,
        cos,
        sin,
        half,
        heads,
        d: headDim,
        rows: positions.length,
        inverse: Number(inverse),
      });
      return y;
    },

    attention(q, k, v, dims) {
      const y = engine.allocate(q.length);
      engine.share(
        "attention",
        { q: engine.at(q), k: engine.at(k), v: engine.at(v), y: y.address, ...training(dims) },
        workOf(dims, 1),
      );
      return y;
    },
    attentionBackward(q, k, v, dy, dims) {
      const dq = engine.allocate(q.length);
      const dk = engine.zeros(k.length);
      const dv = engine.zeros(v.length);
      engine.share(
        "attentionBackward",
        {
          q: engine.at(q),
          k: engine.at(k),
          v: engine.at(v),
          dy: engine.at(dy),
          dq: dq.address,
          dk: dk.address,
          dv: dv.address,
          ...training(dims),
        },
        workOf(dims, 2.5),
      );
      return { dq, dk, dv };
    },

    cacheWrite: (segments, kv, rope) => writeCaches(engine, segments, engine.at(kv), rope),

    cacheAttention(segments, q, heads, rope, window) {
      const y = engine.allocate(q.length);
      attendCaches(engine, segments, engine.at(q), y.address, { heads, rope, window });
      return y;
    },
  };
}

/**
 * Divides a segment's rows for threads: a model with three key/value heads has only three items, of which one of two
 * threads would take two. Sizes are multiples of a tile's; more parts would read keys and values oftener.
 */
function partsOf(rows: number, threads: number): number[] {
  if (threads === 1 || rows < LEAST_ROWS * threads) return [rows];
  const parts = threads * Math.ceil(rows / (threads * MOST_ROWS));
  const size = TILE_ROWS * Math.ceil(rows / (TILE_ROWS * parts));
  return Array.from({ length: Math.ceil(rows / size) }, (_, part) => Math.min(size, rows - part * size));
}

function workBytesOf(engine: Engine, { cache, positions }: CacheSegment, heads: number): number {
  const { capacity, headDim, kvHeads } = engine.cache(cache);
  return engine.wasm.attentionWorkBytes({
    rows: positions.length,
    time: capacity,
    heads,
    groups: kvHeads,
    d: headDim,
    training: 0,
  });
}
