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

/** The count-th largest of n >= count floats. `work` keeps the largest so far in ascending order. */
function nthLargest(x: usize, n: i32, count: i32, work: usize): f32 {
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const value = load<f32>(x + ((<usize>i) << 2));
    if (kept == count && value <= load<f32>(work)) continue;
    let at: i32;
    if (kept < count) {
      at = kept++;
      for (; at > 0 && load<f32>(work + ((<usize>(at - 1)) << 2)) > value; at--) {
        store<f32>(work + ((<usize>at) << 2), load<f32>(work + ((<usize>(at - 1)) << 2)));
      }
    } else {
      at = 0;
      for (; at + 1 < count && load<f32>(work + ((<usize>(at + 1)) << 2)) < value; at++) {
        store<f32>(work + ((<usize>at) << 2), load<f32>(work + ((<usize>(at + 1)) << 2)));
      }
    }
    store<f32>(work + ((<usize>at) << 2), value);
  }
  return load<f32>(work);
}
