/** Lists by their length, and sums over them. */

/** Values of `make` for 0 to `count` - 1. */
export const times = <Value>(count: number, make: (index: number) => Value) =>
  Array.from({ length: count }, (_, index) => make(index));

/** The sum of what `of` says of each value, added in order from 0; of numbers alone without it. */
export function sumOf(values: Iterable<number>): number;
export function sumOf<Value>(values: Iterable<Value>, of: (value: Value, index: number) => number): number;
export function sumOf<Value>(values: Iterable<Value>, of: (value: Value, index: number) => number = Number) {
  let sum = 0;
  let index = 0;
  for (const value of values) sum += of(value, index++);
  return sum;
}
