/**
 * A certificate of your own, in three steps that you can prove:
 *   1. the loss of a document is the share of its tokens that a policy changes; it lies in [0, 1]
 *   2. Hoeffding: if the true mean loss exceeds e, a mean of n losses as low as m has probability
 *      p <= exp(-2 n (e - m)^2)
 *   3. fixed sequence: test candidates from strict to lax, accept while p <= d, stop at the first that fails. The first
 *      bad candidate is accepted with probability at most d, and none after it is tested unless it was.
 *   node examples/learn/6-own-certificate.mjs
 *
 * Exercise: break the promise. Accept the first candidate that fails, too. Simulate calibrations of candidates whose
 * true losses you know: how often is the result too lax then? The answer (in a clone, test/examples): with true losses
 * of 1, 2, 12, 13, 14 and 15 % and 200 documents, at a promise of 10 %, in 59 % of 2,000 calibrations; before, never.
 */
import { pathToFileURL } from "node:url";
import { recordDocuments } from "early-exits/calibrate";
import { ROW_STATS } from "early-exits/tensor";
import { openSotu, speeches } from "./sotu.mjs";

/** The probability of losses as low as these if their true mean exceeded `epsilon`. */
export function hoeffding(losses, epsilon) {
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  return Math.exp(-2 * losses.length * Math.max(0, epsilon - mean) ** 2);
}

/** Number of candidates, from the strictest on, that are certified. `lossesOf[c]` are the losses of candidate c. */
export function certify(lossesOf, { epsilon, delta }) {
  const failure = lossesOf.findIndex((losses) => hoeffding(losses, epsilon) > delta);
  return failure < 0 ? lossesOf.length : failure;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { heads } = await openSotu();
  const { documents } = await recordDocuments(heads, await speeches("calibration", 80));
  // margins at the second exit, chosen before any data
  const candidates = [4, 3, 2, 1.5, 1, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0];
  const lossesOf = candidates.map((threshold) =>
    documents.map(({ positions, exits }) => {
      const { agrees, stats } = exits[1]; // of the second exit: [T], [T, width]
      const margin = (i) => stats[i * ROW_STATS.width + ROW_STATS.top1] - stats[i * ROW_STATS.width + ROW_STATS.top2];
      return agrees.reduce((wrong, right, i) => wrong + (margin(i) >= threshold && !right ? 1 : 0), 0) / positions;
    }),
  );
  const accepted = certify(lossesOf, { epsilon: 0.2, delta: 0.05 });
  const promise = "80 % agreement with probability 95 %";
  if (accepted === 0) console.log(`no candidate is certified to keep ${promise}: give more documents`);
  else console.log(`margin >= ${candidates[accepted - 1]} keeps ${promise}, from ${documents.length} documents`);
}
