/**
 * Whether tiles that hold more sums than 128-bit registers are faster (products/wide.as.ts): they are where the engine
 * computes two neighbouring vectors as one of 256 bits. Both kinds of tiles have the same bits, so only time tells.
 */
import type { NamedKernels } from "./kernels.generated.js";

/** Products between two looks at the clock: some twenty microseconds. */
const PRODUCTS = 20;
/** How much faster such tiles must be. Where two vectors are one, they are nearly twice as fast. */
const FASTER = 1.2;
/** Milliseconds of a trial: engines compile a kernel twice, and measure which ones to compile well. */
const TRIAL = 5;
/** Trials at most, if they do not agree. A busy machine compiles late. */
const TRIALS = 20;
/** Trials in a row that agree. */
const AGREE = 2;

/** Resolves to the faster kind. Gives the engine turns, in which it takes what it has compiled meanwhile. */
export async function chooseWide(wasm: NamedKernels, now: () => number): Promise<boolean> {
  let agreed = 0;
  for (let trial = 0; trial < TRIALS && agreed < AGREE; trial++) {
    agreed = ratioOf(wasm, now) > FASTER ? agreed + 1 : 0;
    await new Promise((done) => setTimeout(done, 0));
  }
  return agreed === AGREE;
}

/** The time of narrow tiles over that of wide ones, the shortest of each. */
function ratioOf(wasm: NamedKernels, now: () => number): number {
  const best = [Infinity, Infinity];
  const begun = now();
  do {
    for (const four of [0, 1]) {
      const started = now();
      wasm.probeWide(four, PRODUCTS);
      best[four] = Math.min(best[four]!, now() - started);
    }
  } while (now() - begun < TRIAL);
  return best[0]! / best[1]!;
}
