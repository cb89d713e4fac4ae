/**
 * Naive loop: elementwiseKernels in src/tensor/reference/elementwise.ts, which computes in float64.
 * Elementwise kernels, four lanes at a time. Flat kernels run over whole vectors, past the last element into the
 * padding that every tensor has; rows of a strided operation end with a tail.
 *   gelu(x) = x · Φ(x) = x/2 · (1 + erf(x/√2))            gelu' = Φ(x) + x · φ(x)
 *   geluTanh(x) = x · σ(2u), u = √(2/π)(x + 0.044715x³)   (because (1 + tanh u)/2 = σ(2u))
 *   silu(x) = x · σ(x)                                    silu' = σ(x) · (1 + x · (1 - σ(x)))
 */
import { ADD, GELU, GELU_TANH, RELU, SILU, SUB } from "./constants";
import { erfv, expv, sigmoidv } from "./math.as";
import { mac, storeTail } from "./simd.as";

// @ts-ignore: decorator
@inline function combine(op: i32, a: v128, b: v128): v128 {
  return op == ADD ? f32x4.add(a, b) : op == SUB ? f32x4.sub(a, b) : f32x4.mul(a, b);
}

/** y[i] = a[i] op b[i] for `vectors` groups of four. */
export function binaryFlat(op: i32, a: usize, b: usize, y: usize, vectors: i32): void {
  for (const end = y + (vectors << 4); y != end; y += 16) {
    v128.store(y, combine(op, v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
  }
}

/**
 * y = a op b over `rank` >= 1 axes; `axes` holds sizes, strides of a, strides of b and a counter, rank int32 each. The
 * last axis is the inner loop; an odometer walks the others.
 */
export function binaryStrided(op: i32, a: usize, b: usize, y: usize, rank: i32, axes: usize, rows: i32): void {
  const last = axes + ((rank - 1) << 2);
  const axis = rank << 2;
  const n = load<i32>(last);
  const aStep = load<i32>(last + axis);
  const bStep = load<i32>(last + 2 * axis);
  memory.fill(axes + 3 * axis, 0, axis);
  for (let row = 0; row < rows; row++) {
    binaryRow(op, a, b, y, n, aStep, bStep);
    y += n << 2;
    for (let at = last - 4; at >= axes; at -= 4) {
      const count = load<i32>(at + 3 * axis) + 1;
      const aStride = load<i32>(at + axis);
      const bStride = load<i32>(at + 2 * axis);
      a += aStride << 2;
      b += bStride << 2;
      if (count < load<i32>(at)) {
        store<i32>(at + 3 * axis, count);
        break;
      }
      a -= (aStride * count) << 2;
      b -= (bStride * count) << 2;
      store<i32>(at + 3 * axis, 0);
    }
  }
}

/** A step of 0 repeats one value, 1 reads on; anything else goes element by element. */
function binaryRow(op: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  if ((aStep | bStep) >>> 1 == 0) {
    for (; n >= 4; n -= 4) {
      v128.store(
        y,
        combine(op, aStep == 1 ? v128.load(a) : v128.load32_splat(a), bStep == 1 ? v128.load(b) : v128.load32_splat(b)),
      );
      a += aStep << 4;
      b += bStep << 4;
      y += 16;
    }
    if (n > 0) {
      storeTail(
        y,
        combine(op, aStep == 1 ? v128.load(a) : v128.load32_splat(a), bStep == 1 ? v128.load(b) : v128.load32_splat(b)),
        n,
      );
    }
    return;
  }
  for (; n > 0; n--) {
    v128.store32_lane(y, combine(op, v128.load32_splat(a), v128.load32_splat(b)), 0);
    a += aStep << 2;
    b += bStep << 2;
    y += 4;
  }
}

export function scale(x: usize, y: usize, factor: f32, vectors: i32): void {
  const f = f32x4.splat(factor);
  for (const end = y + (vectors << 4); y != end; y += 16) {
    v128.store(y, f32x4.mul(v128.load(x), f));
    x += 16;
  }
}

/** Twice the inner function of geluTanh; |x| is bounded where σ has long saturated. */
// @ts-ignore: decorator
@inline function tanhArgument(x: v128): v128 {
  const x2 = f32x4.mul(x, x);
  return f32x4.mul(x, mac(x2, f32x4.splat(2 * 0.7978845608028654 * 0.044715), f32x4.splat(2 * 0.7978845608028654)));
}

// @ts-ignore: decorator
@inline function bounded(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, f32x4.splat(-100)), f32x4.splat(100));
}

// @ts-ignore: decorator
@inline function normalCdf(x: v128): v128 {
  const half = f32x4.splat(0.5);
  return mac(half, erfv(f32x4.mul(x, f32x4.splat(0.7071067811865476))), half);
}

// @ts-ignore: decorator
@inline function value(op: i32, x: v128): v128 {
  if (op == GELU) return f32x4.mul(x, normalCdf(x));
  if (op == GELU_TANH) return f32x4.mul(x, sigmoidv(tanhArgument(bounded(x))));
  if (op == SILU) return f32x4.mul(x, sigmoidv(x));
  return f32x4.pmax(x, f32x4.splat(0));
}

// @ts-ignore: decorator
@inline function slope(op: i32, x: v128): v128 {
  const one = f32x4.splat(1);
  if (op == GELU) {
    const density = f32x4.mul(f32x4.splat(0.3989422804014327), expv(f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5))));
    return mac(x, density, normalCdf(x));
  }
  if (op == GELU_TANH) {
    const t = bounded(x);
    const s = sigmoidv(tanhArgument(t));
    const inner = mac(
      f32x4.mul(t, t),
      f32x4.splat(2 * 3 * 0.7978845608028654 * 0.044715),
      f32x4.splat(2 * 0.7978845608028654),
    );
    return mac(f32x4.mul(f32x4.mul(t, s), f32x4.sub(one, s)), inner, s);
  }
  if (op == SILU) return siluSlope(x, sigmoidv(x));
  return v128.and(one, f32x4.gt(x, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline function siluSlope(x: v128, s: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.mul(s, mac(x, f32x4.sub(one, s), one));
}

// @ts-ignore: decorator
@inline function mapFlat(op: i32, x: usize, y: usize, vectors: i32): void {
  for (const end = y + (vectors << 4); y != end; y += 16) {
    v128.store(y, value(op, v128.load(x)));
    x += 16;
  }
}

// @ts-ignore: decorator
@inline function mapFlatBackward(op: i32, x: usize, dy: usize, dx: usize, vectors: i32): void {
  for (const end = dx + (vectors << 4); dx != end; dx += 16) {
    v128.store(dx, f32x4.mul(slope(op, v128.load(x)), v128.load(dy)));
    x += 16;
    dy += 16;
  }
}

/** `op` is constant inside each loop. */
export function unary(op: i32, x: usize, y: usize, vectors: i32): void {
  if (op == GELU) mapFlat(GELU, x, y, vectors);
  else if (op == GELU_TANH) mapFlat(GELU_TANH, x, y, vectors);
  else if (op == SILU) mapFlat(SILU, x, y, vectors);
  else mapFlat(RELU, x, y, vectors);
}

export function unaryBackward(op: i32, x: usize, dy: usize, dx: usize, vectors: i32): void {
  if (op == GELU) mapFlatBackward(GELU, x, dy, dx, vectors);
  else if (op == GELU_TANH) mapFlatBackward(GELU_TANH, x, dy, dx, vectors);
  else if (op == SILU) mapFlatBackward(SILU, x, dy, dx, vectors);
  else mapFlatBackward(RELU, x, dy, dx, vectors);
}

/** silu(g) · u */
// @ts-ignore: decorator
@inline function gated(g: v128, u: v128): v128 {
  return f32x4.mul(f32x4.mul(g, sigmoidv(g)), u);
}

/** x [rows, 2n] -> y [rows, n]: silu(left) · right. */
export function swiglu(x: usize, y: usize, n: i32, begin: i32, end: i32): void {
  const row = n << 2;
  for (let r = begin; r < end; r++) {
    let gate = x + 2 * row * r;
    let out = y + row * r;
    let left = n;
    for (; left >= 4; left -= 4) {
      v128.store(out, gated(v128.load(gate), v128.load(gate + row)));
      gate += 16;
      out += 16;
    }
    if (left > 0) storeTail(out, gated(v128.load(gate), v128.load(gate + row)), left);
  }
}

/** d gate = dy · up · silu'(gate), d up = dy · silu(gate). */
export function swigluBackward(x: usize, dy: usize, dx: usize, n: i32, begin: i32, end: i32): void {
  const row = n << 2;
  for (let r = begin; r < end; r++) {
    let gate = x + 2 * row * r;
    let from = dy + row * r;
    let out = dx + 2 * row * r;
    for (let left = n; left > 0; left -= 4) {
      const g = v128.load(gate);
      const d = v128.load(from);
      const s = sigmoidv(g);
      const dGate = f32x4.mul(f32x4.mul(d, v128.load(gate + row)), siluSlope(g, s));
      const dUp = f32x4.mul(d, f32x4.mul(g, s));
      if (left >= 4) {
        v128.store(out, dGate);
        v128.store(out + row, dUp);
      } else {
        storeTail(out, dGate, left);
        storeTail(out + row, dUp, left);
      }
      gate += 16;
      from += 16;
      out += 16;
    }
  }
}

/**
 * AdamW (Loshchilov & Hutter 2019), in place: m and v follow g and g², then
 *   p -= lr · (m̂ / (√v̂ + ε) + decay · p)
 * The bias corrections are passed as factors, 1 / (1 - β^t).
 */
export function adamw(
  p: usize,
  g: usize,
  m: usize,
  v: usize,
  vectors: i32,
  lr: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  epsilon: f32,
  decay: f32,
  factor1: f32,
  factor2: f32,
  gradientScale: f32,
): void {
  for (const end = p + (vectors << 4); p != end; p += 16) {
    const grad = f32x4.mul(v128.load(g), f32x4.splat(gradientScale));
    const m1 = mac(f32x4.splat(rest1), grad, f32x4.mul(f32x4.splat(beta1), v128.load(m)));
    const v1 = mac(f32x4.mul(f32x4.splat(rest2), grad), grad, f32x4.mul(f32x4.splat(beta2), v128.load(v)));
    v128.store(m, m1);
    v128.store(v, v1);
    const root = f32x4.add(f32x4.sqrt(f32x4.mul(v1, f32x4.splat(factor2))), f32x4.splat(epsilon));
    const before = v128.load(p);
    const update = mac(f32x4.splat(decay), before, f32x4.div(f32x4.mul(m1, f32x4.splat(factor1)), root));
    v128.store(p, mac(f32x4.splat(-lr), update, before));
    g += 16;
    m += 16;
    v += 16;
  }
}
