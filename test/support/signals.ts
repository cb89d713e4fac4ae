/** A signal that is aborted from its n-th check on: the same place in every run, however fast the machine is. */
export function abortedAtCheck(n: number, reason: Error) {
  let checks = 0;
  const { signal } = new AbortController();
  signal.throwIfAborted = () => {
    if (++checks >= n) throw reason;
  };
  return signal;
}
