/** Clients who ask at the same time, and what they see of the tokens' times. */

/** Tokens per second, of all clients together. */
export interface ClientRates {
  /** While all clients are being answered: from the last of the first tokens on. */
  readonly writing: number;
  /** From the requests to the last token, prompts included. */
  readonly whole: number;
}

/** Reads at most so many tokens of each answer, all at the same time. `ask` starts the answers. */
export async function readTogether(ask: () => readonly AsyncIterable<unknown>[], most: number): Promise<ClientRates> {
  const asked = performance.now();
  const arrivals = await Promise.all(
    ask().map(async (tokens) => {
      const times: number[] = [];
      const stream = tokens[Symbol.asyncIterator]();
      while (times.length < most && (await stream.next()).done !== true) times.push(performance.now());
      await stream.return?.();
      return times;
    }),
  );
  const all = arrivals.flat();
  const end = Math.max(...all);
  const allBegun = Math.max(...arrivals.map((times) => times[0]!));
  const since = all.filter((time) => time > allBegun).length;
  return { writing: (1000 * since) / (end - allBegun), whole: (1000 * all.length) / (end - asked) };
}
