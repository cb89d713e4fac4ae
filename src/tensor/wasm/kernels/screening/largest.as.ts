/**
 * Finds the entries of a row that can be the largest, given bounds: at least `count` entries reach the count-th largest
 * lower bound, so one whose upper bound does not is not among the `count` largest.
 */
import { LARGEST_BLOCK } from "../constants";
import { rowMax } from "../rows.as";
import { highHalf } from "../simd.as";

/**
 * Columns that may be among the `count` largest of n values between `lower` and `upper`. Writes them in ascending order
 * to `out` and returns how many, or capacity + 1 if there is no room. `work` holds `count` floats.
 */
export function mayBeLargest(
  lower: usize,
  upper: usize,
  n: i32,
  count: i32,
  work: usize,
  out: usize,
  capacity: i32,
): i32 {
  const least = count == 1 ? rowMax(lower, n) : nthLargest(lower, n, count, work);
  const floor = f32x4.splat(least);
  let found = 0;
  for (let i = 0; i < n; i += 4) {
    const at = upper + (i << 2);
    if (!v128.any_true(f32x4.ge(v128.load(at), floor))) continue;
    for (let c = i; c < min(i + 4, n); c++) {
      if (load<f32>(upper + (c << 2)) < least) continue;
      if (found == capacity) return capacity + 1;
      store<i32>(out + (found << 2), c);
      found++;
    }
  }
  return found;
}

/**
 * Columns of the `count` largest of n >= count values, ascending, to `out`; of equal values the first. NaN is not among
 * them: where fewer values are left, the first columns are. `work` holds `count` floats, one for every LARGEST_BLOCK
 * columns, and three more.
 *
 * At least `count` values reach a floor that as many maxima of blocks reach, so only those blocks are searched.
 */
export function largest(x: usize, n: i32, count: i32, work: usize, out: usize): void {
  const maxima = work + (count << 2);
  const blocks = blockMaxima(x, n, maxima);
  const floor: f32 = blocks < count ? -Infinity : floorOf(maxima, blocks, count);
  let kept = 0;
  for (let b = 0; b < blocks; b++) {
    if (!(load<f32>(maxima + (b << 2)) >= floor)) continue;
    kept = keepLargest(blockAt(x, b), min(LARGEST_BLOCK, n - b * LARGEST_BLOCK), floor, count, kept, work);
  }
  if (kept < count) {
    for (let c = 0; c < count; c++) store<i32>(out + (c << 2), c);
    return;
  }
  const least = load<f32>(work);
  let equal = 0; // how many of those that equal the least are wanted
  while (equal < count && load<f32>(work + (equal << 2)) == least) equal++;
  for (let b = 0; b < blocks; b++) {
    if (!(load<f32>(maxima + (b << 2)) >= least)) continue;
    const end = min(n, (b + 1) * LARGEST_BLOCK);
    for (let c = b * LARGEST_BLOCK; c < end; c += 4) {
      if (!v128.any_true(f32x4.ge(v128.load(x + (c << 2)), f32x4.splat(least)))) continue;
      for (let i = c; i < min(c + 4, end); i++) {
        const value = load<f32>(x + (i << 2));
        if (!(value >= least) || (value == least && equal-- <= 0)) continue;
        store<i32>(out, i);
        out += 4;
      }
    }
  }
}

// @ts-ignore: decorator
@inline function blockAt(x: usize, b: i32): usize {
  return x + ((b * LARGEST_BLOCK) << 2);
}

/** Writes the largest value of every block of columns, -Infinity where all are NaN; returns how many. */
function blockMaxima(x: usize, n: i32, maxima: usize): i32 {
  const blocks = (n + LARGEST_BLOCK - 1) / LARGEST_BLOCK;
  const low = f32x4.splat(-Infinity);
  for (; n >= LARGEST_BLOCK; n -= LARGEST_BLOCK) {
    let a = low;
    let b = low;
    for (const end = x + 4 * LARGEST_BLOCK; x != end; x += 64) {
      a = f32x4.pmax(f32x4.pmax(a, v128.load(x)), v128.load(x, 16));
      b = f32x4.pmax(f32x4.pmax(b, v128.load(x, 32)), v128.load(x, 48));
    }
    a = f32x4.pmax(a, b);
    a = f32x4.pmax(a, highHalf(a));
    v128.store32_lane(maxima, f32x4.pmax(a, i64x2.shr_u(a, 32)), 0);
    maxima += 4;
  }
  if (n > 0) {
    store<f32>(maxima, rowMax(x, n));
    maxima += 4;
  }
  v128.store(maxima, f32x4.splat(NaN)); // ends the last vector
  return blocks;
}

/** A value that at least `count` of n >= count maxima reach, and hardly more unless equal. */
function floorOf(maxima: usize, n: i32, count: i32): f32 {
  // Between the floats of two keys lie those of the keys between them.
  let low = keyOf(-Infinity);
  let high = keyOf(Infinity);
  while (low < high) {
    const middle = <i32>((<i64>low + <i64>high + 1) >> 1);
    const reach = countOf(maxima, n, floatOfKey(middle));
    if (reach < count) high = middle - 1;
    else {
      low = middle;
      if (reach <= count + (count >> 3)) break;
    }
  }
  return floatOfKey(low);
}

/** Counts floats that reach `floor`. */
function countOf(x: usize, n: i32, floor: f32): i32 {
  const least = f32x4.splat(floor);
  let counts = i32x4.splat(0);
  for (const end = x + (n << 2); x < end; x += 16) counts = i32x4.sub(counts, f32x4.ge(v128.load(x), least));
  counts = i32x4.add(counts, highHalf(counts));
  return i32x4.extract_lane(counts, 0) + i32x4.extract_lane(counts, 1);
}

/** The bits of a float as an integer, in the order of floats. */
// @ts-ignore: decorator
@inline function keyOf(value: f32): i32 {
  const bits = reinterpret<i32>(value);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

// @ts-ignore: decorator
@inline function floatOfKey(key: i32): f32 {
  return reinterpret<f32>(key ^ ((key >> 31) & 0x7fffffff));
}

/** NaN if there are not as many. `work` keeps the largest in ascending order. */
function nthLargest(x: usize, n: i32, count: i32, work: usize): f32 {
  return keepLargest(x, n, -Infinity, count, 0, work) == count ? load<f32>(work) : NaN;
}

/**
 * Takes those of n floats that reach `floor` into the `count` largest so far, of which `work` keeps `kept` in ascending
 * order. Returns how many it keeps then.
 */
function keepLargest(x: usize, n: i32, floor: f32, count: i32, kept: i32, work: usize): i32 {
  for (let i = 0; i < n; i += 4) {
    const values = v128.load(x + (i << 2));
    const least = f32x4.splat(kept == count ? load<f32>(work) : floor);
    if (!v128.any_true(kept == count ? f32x4.gt(values, least) : f32x4.ge(values, least))) continue;
    for (let c = i; c < min(i + 4, n); c++) {
      const value = load<f32>(x + (c << 2));
      if (kept == count ? !(value > load<f32>(work)) : !(value >= floor)) continue;
      const place = placeOf(value, work, kept);
      let to = work + (place << 2);
      if (kept < count) {
        memory.copy(to + 4, to, (kept - place) << 2);
        kept++;
      } else {
        to -= 4;
        memory.copy(work, work + 4, to - work);
      }
      store<f32>(to, value);
    }
  }
  return kept;
}

/** Counts the smaller ones of ascending values. */
// @ts-ignore: decorator
@inline function placeOf(value: f32, ascending: usize, count: i32): i32 {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<f32>(ascending + (middle << 2)) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
