/** Heaps of numbers, the smallest first: a child of place i stands at 2i + 1 or 2i + 2. */

export function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

/** Removes and returns the smallest number of a heap that is not empty. */
export function pop(heap: number[]): number {
  const smallest = heap[0]!;
  const value = heap.pop()!;
  if (heap.length > 0) replaceSmallest(heap, value);
  return smallest;
}

/** In a heap that is not empty. */
export function replaceSmallest(heap: number[] | Float64Array, value: number): void {
  const { length } = heap;
  let at = 0;
  for (let child = 1; child < length; child = 2 * at + 1) {
    if (child + 1 < length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}
