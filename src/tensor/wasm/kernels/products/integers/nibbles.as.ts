/**
 * Naive loop: integerDot in src/tensor/reference/integer-products.ts, equal bit for bit.
 * The product with int4 weights w = d·q + m, q = 0..15, d and m per group of 32 along k:
 *   y[r, n] += Σ_g (d_ng · t_rg) · Σ_k q[n, k] · a[r, k] + m_ng · (t_rg · Σ_k a[r, k])
 * with activations as in activations.as.ts. As in bytes.as.ts, inner sums are exact and floats are rounded once per
 * operation, in the order of groups.
 *
 * A panel holds 16 columns, group after group: [16 x (d, m) as float16][q: 4 x 16 x 4 bytes], 320 bytes, or, where
 * the scales of a file do not fit float16, [d: 16 float32][m: 16 float32][q], 384 bytes. Of eight successive k, a byte
 * holds k + b in its low half and k + 4 + b in its high half, b = 0..3. A nibble is the seven-bit operand of the dot.
 */
import {
  addNibbles,
  constants,
  FLOAT_HEAD,
  HALF_FACTOR,
  HALF_HEAD,
  HALF_MASK,
  highNibbles,
  NIBBLE_MASK,
  nibbleDots,
  nibbleSums,
  smallHalves,
} from "./dots.as";
import { isYes, storeFour } from "../../simd.as";

/**
 * One quantized row with consecutive panels: out [panels][16]. Float16 d and m lack a factor of 2^112, which t and t·Σa
 * get instead: both are below 2^16.
 */
export function nibbleRow<Pairs, Floats>(w: usize, x: usize, groups: i32, panels: i32, out: usize): void {
  const pairs = isYes<Pairs>();
  const head = isYes<Floats>() ? FLOAT_HEAD : HALF_HEAD;
  const low = v128.load(constants + NIBBLE_MASK);
  const mask = v128.load(constants + HALF_MASK);
  const bytes: usize = groups << 5;
  const words = bytes >> 3;
  for (; panels > 0; panels--) {
    let t = x + 2 * bytes;
    let f0 = f32x4.splat(0);
    let f1 = f0;
    let f2 = f0;
    let f3 = f0;
    for (const last = x + bytes; x != last;) {
      let s0 = i32x4.splat(0);
      let s1 = s0;
      let s2 = s0;
      let s3 = s0;
      let q: usize;
      if (pairs && head == HALF_HEAD && load<i32>(t + 2 * words) != 0) {
        // Both parts of x with weights taken apart once. Elsewhere not worth its size: the other way is limited by
        // memory, the other head rare.
        let a0 = s0;
        let a1 = s0;
        let a2 = s0;
        let a3 = s0;
        q = w + head;
        for (const end = x + 32; x != end; x += 8) {
          const s = v128.load32_splat(x);
          const u = v128.load32_splat(x, 4);
          const y = v128.load32_splat(x + bytes);
          const z = v128.load32_splat(x + bytes, 4);
          let v = v128.load(q);
          let n = v128.and(v, low);
          v = highNibbles(v, low);
          s0 = nibbleDots(pairs, s, n, u, v, s0);
          a0 = nibbleDots(pairs, y, n, z, v, a0);
          v = v128.load(q, 16);
          n = v128.and(v, low);
          v = highNibbles(v, low);
          s1 = nibbleDots(pairs, s, n, u, v, s1);
          a1 = nibbleDots(pairs, y, n, z, v, a1);
          v = v128.load(q, 32);
          n = v128.and(v, low);
          v = highNibbles(v, low);
          s2 = nibbleDots(pairs, s, n, u, v, s2);
          a2 = nibbleDots(pairs, y, n, z, v, a2);
          v = v128.load(q, 48);
          n = v128.and(v, low);
          v = highNibbles(v, low);
          s3 = nibbleDots(pairs, s, n, u, v, s3);
          a3 = nibbleDots(pairs, y, n, z, v, a3);
          q += 64;
        }
        s0 = i32x4.add(i32x4.shl(nibbleSums(pairs, s0), 8), nibbleSums(pairs, a0));
        s1 = i32x4.add(i32x4.shl(nibbleSums(pairs, s1), 8), nibbleSums(pairs, a1));
        s2 = i32x4.add(i32x4.shl(nibbleSums(pairs, s2), 8), nibbleSums(pairs, a2));
        s3 = i32x4.add(i32x4.shl(nibbleSums(pairs, s3), 8), nibbleSums(pairs, a3));
      } else {
        let part = x;
        const stop = load<i32>(t + 2 * words) == 0 ? x + bytes : x + 2 * bytes;
        do {
          let a0 = i32x4.splat(0);
          let a1 = a0;
          let a2 = a0;
          let a3 = a0;
          q = w + head;
          for (const end = part + 32; part != end; part += 8) {
            const s = v128.load32_splat(part);
            const u = v128.load32_splat(part, 4);
            let v = v128.load(q);
            a0 = nibbleDots(pairs, s, v128.and(v, low), u, highNibbles(v, low), a0);
            v = v128.load(q, 16);
            a1 = nibbleDots(pairs, s, v128.and(v, low), u, highNibbles(v, low), a1);
            v = v128.load(q, 32);
            a2 = nibbleDots(pairs, s, v128.and(v, low), u, highNibbles(v, low), a2);
            v = v128.load(q, 48);
            a3 = nibbleDots(pairs, s, v128.and(v, low), u, highNibbles(v, low), a3);
            q += 64;
          }
          s0 = i32x4.add(i32x4.shl(s0, 8), nibbleSums(pairs, a0));
          s1 = i32x4.add(i32x4.shl(s1, 8), nibbleSums(pairs, a1));
          s2 = i32x4.add(i32x4.shl(s2, 8), nibbleSums(pairs, a2));
          s3 = i32x4.add(i32x4.shl(s3, 8), nibbleSums(pairs, a3));
          part += bytes - 32;
        } while (part < stop);
        x += 32;
      }
      let f = v128.load32_splat(t);
      let g = v128.load32_splat(t + words);
      if (head == HALF_HEAD) {
        f = f32x4.mul(f, v128.load(constants + HALF_FACTOR));
        g = f32x4.mul(g, v128.load(constants + HALF_FACTOR));
      }
      f0 = addNibbles(f0, s0, scales(head, w, mask), minimums(head, w, mask), f, g);
      f1 = addNibbles(f1, s1, scales(head, w + 16, mask), minimums(head, w + 16, mask), f, g);
      f2 = addNibbles(f2, s2, scales(head, w + 32, mask), minimums(head, w + 32, mask), f, g);
      f3 = addNibbles(f3, s3, scales(head, w + 48, mask), minimums(head, w + 48, mask), f, g);
      t += 4;
      w = q;
    }
    storeFour(out, f0, f1, f2, f3);
    out += 64;
    x -= bytes;
  }
}

/** Scales of four columns, or scales times 2^-112. */
// @ts-ignore: decorator
@inline function scales(head: usize, p: usize, mask: v128): v128 {
  return head == HALF_HEAD ? smallHalves(i32x4.shl(v128.load(p), 16), mask) : v128.load(p);
}

// @ts-ignore: decorator
@inline function minimums(head: usize, p: usize, mask: v128): v128 {
  return head == HALF_HEAD ? smallHalves(v128.load(p), mask) : v128.load(p, 64);
}
