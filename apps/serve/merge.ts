/** Several asynchronous iterables as one, in the order in which their values arrive. */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void, undefined> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const next = async (i: number): Promise<{ readonly i: number; readonly result: IteratorResult<T> }> => ({
    i,
    result: await iterators[i]!.next(),
  });
  const pending = new Map(iterators.map((_, i) => [i, next(i)]));
  while (pending.size > 0) {
    const { i, result } = await Promise.race(pending.values());
    if (result.done === true) {
      pending.delete(i);
      continue;
    }
    yield result.value;
    pending.set(i, next(i));
  }
}
