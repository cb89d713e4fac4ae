/**
 * Which entries of a row can be the largest, if all that is known of them are bounds: at least `count` entries reach
 * the count-th largest lower bound, so an entry whose upper bound does not reach it is not among the `count` largest.
 */
import { rowMax } from "../rows.as";

/**
 * The columns that may be among the `count` largest of a row of n values between `lower` and `upper`: those whose upper
 * bound reaches the count-th largest lower bound. Writes them in ascending order to `out` and returns how many there
 * are, or capacity + 1 if there is no room for all. `work` holds `count` floats.
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
    const at = upper + ((<usize>i) << 2);
    if (!v128.any_true(f32x4.ge(v128.load(at), floor))) continue;
    for (let c = i; c < min(i + 4, n); c++) {
      if (load<f32>(upper + ((<usize>c) << 2)) < least) continue;
      if (found == capacity) return capacity + 1;
      store<i32>(out + ((<usize>found) << 2), c);
      found++;
    }
  }
  return found;
}

/**
 * The columns of the `count` largest of a row of n >= count values, ascending, to `out`; of equal values the first
 * ones. Of a row with NaN, which has no order, the first columns. `work` holds `count` floats.
 */
export function largest(x: usize, n: i32, count: i32, work: usize, out: usize): void {
  const least = nthLargest(x, n, count, work);
  let equal = 0; // how many of those that equal the least are wanted
  while (equal < count && load<f32>(work + ((<usize>equal) << 2)) == least) equal++;
  const floor = f32x4.splat(least);
  let found = 0;
  for (let i = 0; i < n && found < count; i += 4) {
    if (!v128.any_true(f32x4.ge(v128.load(x + ((<usize>i) << 2)), floor))) continue;
    for (let c = i; c < min(i + 4, n) && found < count; c++) {
      const value = load<f32>(x + ((<usize>c) << 2));
      if (!(value >= least) || (value == least && equal-- <= 0)) continue;
      store<i32>(out + ((<usize>found) << 2), c);
      found++;
    }
  }
  if (found == count) return;
  for (let c = 0; c < count; c++) store<i32>(out + ((<usize>c) << 2), c);
}

/** The count-th largest of n >= count floats. `work` keeps the largest so far in ascending order. */
function nthLargest(x: usize, n: i32, count: i32, work: usize): f32 {
  let i = 0;
  for (; i < count; i++) {
    const value = load<f32>(x + ((<usize>i) << 2));
    const place = placeOf(value, work, i);
    const at = work + ((<usize>place) << 2);
    memory.copy(at + 4, at, (<usize>(i - place)) << 2);
    store<f32>(at, value);
  }
  let least = load<f32>(work);
  while (i < n) {
    if (i + 4 <= n && !v128.any_true(f32x4.gt(v128.load(x + ((<usize>i) << 2)), f32x4.splat(least)))) {
      i += 4;
      continue;
    }
    for (const end = min(i + 4, n); i < end; i++) {
      const value = load<f32>(x + ((<usize>i) << 2));
      if (!(value > least)) continue;
      const place = placeOf(value, work, count) - 1;
      memory.copy(work, work + 4, (<usize>place) << 2);
      store<f32>(work + ((<usize>place) << 2), value);
      least = load<f32>(work);
    }
  }
  return least;
}

/** How many of the ascending values are smaller. */
// @ts-ignore: decorator
@inline function placeOf(value: f32, ascending: usize, count: i32): i32 {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<f32>(ascending + ((<usize>middle) << 2)) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
