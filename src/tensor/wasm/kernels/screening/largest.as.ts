/**
 * Finds the entries of a row that can be the largest, given bounds: at least `count` entries reach the count-th largest
 * lower bound, so one whose upper bound does not is not among the `count` largest. Or the largest themselves.
 */
import { rowMax } from "../rows.as";
import { sumLanes } from "../products/integers/activations.as";
import { highHalf } from "../simd.as";

const LEAST_BLOCK: i32 = 16;
const MOST_BLOCK: i32 = 64;

/**
 * Columns that may be among the `count` largest of n values between `lower` and `upper`. Writes them in ascending order
 * to `out` and returns how many, or capacity + 1 if there is no room. `work` is that of `nthLargest`.
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
 * them: where fewer values are left, the first columns are. `work` is that of `nthLargest`.
 */
export function largest(x: usize, n: i32, count: i32, work: usize, out: usize): void {
  const least = nthLargest(x, n, count, work);
  if (isNaN(least)) {
    for (let c = 0; c < count; c++) store<i32>(out + (c << 2), c);
    return;
  }
  const kept = load<i32>(work);
  const values = work + 4;
  const columns = columnsAt(work, n);
  // how many of those that equal the least are wanted
  let equal = count - countOf(values, kept, floatOfKey(keyOf(least) + 1));
  for (let i = 0; i < kept << 2; i += 4) {
    const value = load<f32>(values + i);
    const isLeast = <i32>(value == least);
    store<i32>(out, load<i32>(columns + i));
    out += (<usize>((<i32>(value > least)) | (isLeast & (<i32>(equal > 0))))) << 2;
    equal -= isLeast;
  }
}

/**
 * NaN if there are not as many. At least `count` values reach a floor that as many maxima of blocks reach; `work` holds
 * how many do, these values, three more, and their columns: `largestWorkBytes`.
 */
function nthLargest(x: usize, n: i32, count: i32, work: usize): f32 {
  const size = blockSize(n, count);
  const blocks = (n + size - 1) / size;
  const columns = columnsAt(work, n);
  const maxima = columns + (n << 2);
  blockMaxima(x, n, size, maxima);
  const floor: f32 = blocks < count ? -Infinity : floorOf(maxima, blocks, count, count >> 3);
  let kept: usize = 0;
  for (let b = 0; b < blocks; b++) {
    if (!(load<f32>(maxima + (b << 2)) >= floor)) continue;
    const end = min(n, (b + 1) * size);
    for (let c = b * size; c < end; c++) {
      const value = load<f32>(x + (c << 2));
      store<f32>(work + kept, value, 4);
      store<i32>(columns + kept, c);
      kept += (<usize>(value >= floor)) << 2;
    }
  }
  v128.store(work + kept, f32x4.splat(NaN), 4); // ends the last vector
  store<i32>(work, (<i32>kept) >> 2);
  return (<i32>kept) >> 2 < count ? NaN : floorOf(work + 4, (<i32>kept) >> 2, count, -1);
}

export function largestWorkBytes(n: i32): usize {
  return columnsAt(0, n) + (n << 2) + ((n / LEAST_BLOCK) << 2) + 32;
}

// @ts-ignore: decorator
@inline function columnsAt(work: usize, n: i32): usize {
  return work + (n << 2) + 20;
}

/** Columns of a block: few blocks to sort, of which few hold more than one of the largest. */
// @ts-ignore: decorator
@inline function blockSize(n: i32, count: i32): i32 {
  return count * 4 * MOST_BLOCK <= n ? MOST_BLOCK : LEAST_BLOCK;
}

/** Writes the largest value of every block of columns, -Infinity where all are NaN. */
function blockMaxima(x: usize, n: i32, size: i32, maxima: usize): void {
  const low = f32x4.splat(-Infinity);
  for (; n >= size; n -= size) {
    let a = low;
    let b = low;
    for (const end = x + (size << 2); x != end; x += 64) {
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
}

/** The largest value that `count` of n >= count floats reach, or a smaller one that `room` more reach at most. */
function floorOf(x: usize, n: i32, count: i32, room: i32): f32 {
  // Between the floats of two keys lie those of the keys between them.
  let low = keyOf(-Infinity);
  let high = keyOf(Infinity);
  while (low < high) {
    const middle = <i32>((<i64>low + <i64>high + 1) >> 1);
    const reach = countOf(x, n, floatOfKey(middle));
    if (reach < count) high = middle - 1;
    else {
      low = middle;
      if (reach <= count + room) break;
    }
  }
  return floatOfKey(low);
}

/** Counts floats that reach `floor`. */
function countOf(x: usize, n: i32, floor: f32): i32 {
  const least = f32x4.splat(floor);
  let counts = i32x4.splat(0);
  for (const end = x + (n << 2); x < end; x += 16) counts = i32x4.sub(counts, f32x4.ge(v128.load(x), least));
  return sumLanes(counts);
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
