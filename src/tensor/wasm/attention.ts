/**
 * Rotary positions and attention, see attention.as.ts. Segments of a batch run one after another, each on its own
 * cache.
 */
import type { Kernels, Rope } from "../device.js";
import type { Engine } from "./engine.js";

/** Rough speed of one thread, for sharing. */
const MACS_PER_US = 10_000;

type Attention = Pick<Kernels, "rope" | "attention" | "attentionBackward" | "cacheWrite" | "cacheAttention">;

export function attentionKernels(engine: Engine): Attention {
  const { wasm } = engine;
  const tables = (rope: Rope | undefined): readonly [cos: number, sin: number, half: number] =>
    rope === undefined ? NO_ROPE : [engine.at(rope.cos), engine.at(rope.sin), rope.rotaryDim / 2];

  return {
    rope(x, positions, rope, heads, headDim, inverse) {
      const y = engine.allocate(x.length);
      const [cos, sin, half] = tables(rope);
      wasm.rope(
        engine.at(x),
        engine.indices(positions),
        y.address,
        cos,
        sin,
        half,
        heads,
        headDim,
        positions.length,
        Number(inverse),
      );
      return y;
    },

    attention(q, k, v, { batch, time, heads, kvHeads, headDim }) {
      const y = engine.allocate(q.length);
      const work = engine.work(wasm.attentionWorkBytes(time, time, heads, kvHeads, headDim, 1));
      engine.share(
        "attention",
        [engine.at(q), engine.at(k), engine.at(v), y.address, time, heads, kvHeads, headDim, work, 0, batch * kvHeads],
        (batch * time * time * heads * headDim) / MACS_PER_US,
      );
      return y;
    },
    attentionBackward(q, k, v, dy, { batch, time, heads, kvHeads, headDim }) {
      const dq = engine.allocate(q.length);
      const dk = engine.allocate(k.length);
      const dv = engine.allocate(v.length);
      wasm.fillZeros(dk.address, dk.length);
      wasm.fillZeros(dv.address, dv.length);
      const work = engine.work(wasm.attentionWorkBytes(time, time, heads, kvHeads, headDim, 1));
      engine.share(
        "attentionBackward",
        [
          engine.at(q),
          engine.at(k),
          engine.at(v),
          engine.at(dy),
          dq.address,
          dk.address,
          dv.address,
          time,
          heads,
          kvHeads,
          headDim,
          work,
          0,
          batch * kvHeads,
        ],
        (2.5 * batch * time * time * heads * headDim) / MACS_PER_US,
      );
      return { dq, dk, dv };
    },

    cacheWrite(segments, kv, rope) {
      const [cos, sin, half] = tables(rope);
      let from = engine.at(kv);
      for (const segment of segments) {
        const { keys, values, headDim, kvHeads } = engine.cache(segment.cache);
        const rows = segment.positions.length;
        wasm.cacheWrite(
          from,
          keys,
          values,
          headDim,
          kvHeads,
          rows,
          engine.indices(segment.positions),
          cos,
          sin,
          half,
          engine.work(4 * headDim + 64),
        );
        from += 8 * rows * kvHeads * headDim;
      }
    },

    cacheAttention(segments, q, heads, rope) {
      const y = engine.allocate(q.length);
      const [cos, sin, half] = tables(rope);
      let offset = 0;
      for (const segment of segments) {
        const { keys, values, capacity, headDim, kvHeads } = engine.cache(segment.cache);
        const rows = segment.positions.length;
        const work = engine.work(wasm.attentionWorkBytes(rows, capacity, heads, kvHeads, headDim, 0));
        const seen = segment.positions.reduce((sum, position) => sum + position + 1, 0);
        engine.share(
          "cacheAttention",
          [
            engine.at(q) + offset,
            y.address + offset,
            keys,
            values,
            headDim,
            heads,
            kvHeads,
            rows,
            engine.indices(segment.positions),
            cos,
            sin,
            half,
            work,
            0,
            kvHeads,
          ],
          (2 * seen * heads * headDim) / MACS_PER_US,
        );
        offset += 4 * rows * heads * headDim;
      }
      return y;
    },
  };
}

const NO_ROPE = [0, 0, 0] as const;
