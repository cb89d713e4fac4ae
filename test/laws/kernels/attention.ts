/**
 * Rotary positions and attention, over whole sequences and over caches that are filled out of order, in several
 * segments. A score is a dot product of length D; its error moves a probability by as much, relatively; the weighted
 * sum adds T terms.
 */
import type { CacheDtype, CacheSegment, Rope } from "../../../src/tensor/device.js";
import {
  absolute,
  type AnyLaw,
  type KernelLaw,
  law,
  type LawDevice,
  rowOf,
  rowsIn,
  seeds,
  UNIT,
  values,
} from "./law.js";
import { between, type Drawn, fc } from "../../support/property.js";
import { sumOf, times } from "../../support/lists.js";

const constant = (length: number, bound: number) => new Float64Array(length).fill(bound);
const largest = (data: Float32Array) => absolute(data).reduce((max, value) => Math.max(max, value), 0);

/** Error of an output of attention over `time` positions, relative to the largest value. */
function attentionError(q: Float32Array, k: Float32Array, headDim: number, time: number, exp: number) {
  const score = (4 * (headDim + 4) * UNIT * headDim * largest(q) * largest(k)) / Math.sqrt(headDim);
  return 2 * score + (4 * time + 32 + exp) * UNIT;
}

const POSITIONS = 40;
/** Beyond what a device may hold in blocks of sixteen or sixty-four positions. */
const MANY_POSITIONS = 200;

function ropeTables(device: LawDevice, rotaryDim: number): Rope {
  const half = rotaryDim / 2;
  const angles = times(MANY_POSITIONS * half, (i) => Math.floor(i / half) * 10_000 ** (-(i % half) / half));
  return { cos: device.upload(angles.map(Math.cos)), sin: device.upload(angles.map(Math.sin)), rotaryDim };
}

const headSizes = fc.constantFrom(1, 3, 4, 7, 8, 16, 17, 20, 33);
const ropeCases = fc
  .record({
    rows: between(0, 5),
    heads: between(1, 3),
    headDim: headSizes,
    half: fc.nat(20),
    inverse: fc.boolean(),
    seed: seeds,
  })
  .map(({ rows, heads, headDim, half, inverse, seed }) => ({
    rows,
    heads,
    headDim,
    inverse,
    rotaryDim: 2 * (half % (Math.floor(headDim / 2) + 1)),
    positions: times(rows, (r) => (seed + 13 * r) % POSITIONS),
    x: values(seed, "x", rows * heads * headDim),
  }));

/** None, shorter than a block of sixteen positions, longer than one of sixty-four, or longer than the sequence. */
const windows = fc.option(between(1, 150), { nil: undefined });

const attentionCases = fc
  .record({
    batch: between(1, 2),
    time: between(1, 37),
    kvHeads: between(1, 3),
    group: between(1, 3),
    headDim: headSizes,
    window: windows,
    seed: seeds,
  })
  .map(({ batch, time, kvHeads, group, headDim, window, seed }) => {
    const heads = kvHeads * group;
    const make = (name: string, count: number) => values(seed, name, batch * time * count * headDim);
    return {
      dims: { batch, time, heads, kvHeads, headDim, window },
      q: make("q", heads),
      k: make("k", kvHeads),
      v: make("v", kvHeads),
      dy: make("dy", heads),
    };
  });
type AttentionCase = Drawn<typeof attentionCases>;

const upload = (device: LawDevice, { q, k, v, dy }: AttentionCase) =>
  [device.upload(q), device.upload(k), device.upload(v), device.upload(dy)] as const;

export const cacheCasesOf = (minLength: number, maxLength: number, headDims: fc.Arbitrary<number>) =>
  fc
    .record({
      kvHeads: between(1, 3),
      group: between(1, 3),
      headDim: headDims,
      rotate: fc.boolean(),
      window: windows,
      seed: seeds,
      sequences: fc.array(
        fc.record({
          length: between(minLength, maxLength),
          asks: fc.array(fc.nat(maxLength), { minLength: 1, maxLength: 11 }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    })
    .map(({ kvHeads, group, headDim, rotate, window, seed, sequences }) => {
      const heads = kvHeads * group;
      const rows = sumOf(sequences, ({ asks }) => asks.length);
      return {
        kvHeads,
        heads,
        headDim,
        rotaryDim: rotate ? 2 * Math.floor(headDim / 2) : undefined,
        capacity: maxLength + (seed % 7),
        window,
        // Per sequence: keys and values of all positions, and which positions ask.
        sequences: sequences.map(({ length, asks }, i) => ({
          length,
          kv: values(seed, `kv${i}`, length * 2 * kvHeads * headDim),
          positions: asks.map((ask) => ask % length),
        })),
        q: values(seed, "q", rows * heads * headDim),
      };
    });
export type CacheCase = Drawn<ReturnType<typeof cacheCasesOf>>;
const cacheCases = cacheCasesOf(1, POSITIONS, headSizes);
const longCacheCases = cacheCasesOf(POSITIONS, MANY_POSITIONS, fc.constantFrom(1, 4, 17));

/** Caches filled position by position, last first. */
export function fill(
  device: LawDevice,
  { kvHeads, headDim, capacity, sequences }: CacheCase,
  rope: Rope | undefined,
  dtype?: CacheDtype,
): CacheSegment[] {
  return sequences.map(({ kv, length, positions }) => {
    const cache = device.createCache(kvHeads, headDim, capacity, dtype);
    for (const order of [[length - 1], times(length - 1, (i) => i)]) {
      const rows = order.flatMap((position) => Array.from(rowOf(kv, position, length)));
      if (order.length > 0) device.kernels.cacheWrite([{ cache, positions: order }], device.upload(rows), rope);
    }
    return { cache, positions };
  });
}

function runCacheAttention(device: LawDevice, c: CacheCase) {
  const rope = c.rotaryDim === undefined ? undefined : ropeTables(device, c.rotaryDim);
  const segments = fill(device, c, rope);
  const y = device.kernels.cacheAttention(segments, device.upload(c.q), c.heads, rope, c.window);
  for (const { cache } of segments) device.freeCache(cache);
  return { y };
}

const rowCount = (c: CacheCase) => sumOf(c.sequences, ({ positions }) => positions.length);

/** Attention to at most `longest` cached positions. */
function cacheAttentionLaw(of: Pick<KernelLaw<CacheCase>, "kernel" | "variant" | "cases">, longest: number) {
  return law({
    ...of,
    run: runCacheAttention,
    bounds(c, { tolerances }) {
      const kv = Math.max(...c.sequences.map((sequence) => largest(sequence.kv)));
      // a rotation lengthens no pair, but may gather it in one of the two
      const turned = c.q.map((value) => value * 1.5);
      return {
        y: constant(
          c.q.length,
          attentionError(turned, Float32Array.of(1.5 * kv), c.headDim, longest, tolerances.exp) * kv,
        ),
      };
    },
    rows: {
      count: rowCount,
      pick(c, row) {
        let first = 0;
        const sequence = c.sequences.find(({ positions }) => (first += positions.length) > row)!;
        return {
          ...c,
          sequences: [{ ...sequence, positions: [sequence.positions[row - (first - sequence.positions.length)]!] }],
          q: rowOf(c.q, row, rowCount(c)),
        };
      },
    },
  });
}

export const attentionLaws: readonly AnyLaw[] = [
  law({
    kernel: "rope",
    cases: ropeCases,
    run: (device, { x, positions, rotaryDim, heads, headDim, inverse }) => ({
      y: device.kernels.rope(device.upload(x), positions, ropeTables(device, rotaryDim), heads, headDim, inverse),
    }),
    bounds: ({ x }) => ({ y: constant(x.length, 8 * UNIT * largest(x)) }),
    rows: rowsIn("positions", "x"),
  }),
  law({
    kernel: "attention",
    cases: attentionCases,
    run(device, c) {
      const [q, k, v] = upload(device, c);
      return { y: device.kernels.attention(q, k, v, c.dims) };
    },
    bounds: ({ q, k, v, dims }, { tolerances }) => ({
      y: constant(q.length, attentionError(q, k, dims.headDim, dims.time, tolerances.exp) * largest(v)),
    }),
  }),
  law({
    kernel: "attentionBackward",
    cases: attentionCases,
    run: (device, c) => device.kernels.attentionBackward(...upload(device, c), c.dims),
    bounds({ q, k, v, dy, dims: { headDim, time, heads, kvHeads } }, { expected, tolerances }) {
      // Chains of products of length D and T on values around one: not a worst case, but sixteen times what such chains
      // lose.
      const units = 16 * (4 * headDim + 4 * time * (heads / kvHeads) + 32 + tolerances.exp) * UNIT;
      const bound = (name: string, length: number) =>
        constant(length, units * (1 + largest(expected[name]!)) * (1 + largest(dy)));
      return { dq: bound("dq", q.length), dk: bound("dk", k.length), dv: bound("dv", v.length) };
    },
  }),
  cacheAttentionLaw({ kernel: "cacheAttention", cases: cacheCases }, POSITIONS),
  cacheAttentionLaw({ kernel: "cacheAttention", variant: "long", cases: longCacheCases }, MANY_POSITIONS),
  law({
    kernel: "cacheWrite",
    cases: cacheCases.map((c) => ({ ...c, sequences: c.sequences.slice(0, 1) })),
    run(device, c) {
      // Over one position, attention is that position's value; keys are covered by cacheAttention.
      const rope = c.rotaryDim === undefined ? undefined : ropeTables(device, c.rotaryDim);
      const [{ cache }] = fill(device, c, rope) as [CacheSegment];
      const q = device.upload(new Float32Array(c.heads * c.headDim));
      return { y: device.kernels.cacheAttention([{ cache, positions: [0] }], q, c.heads, rope) };
    },
  }),
];
