/** Golden numbers of the ranking measures; equal scores say nothing. */
import { expect, it } from "vitest";
import { rankTokens } from "../../lab/report/agreement.js";

/** Records of one exit, with the margin of each token. */
function oneExit(margins: readonly number[], agrees: readonly number[]) {
  const stats = Float32Array.from(margins.flatMap((margin) => [0, margin, 0, 5, 5 - margin]));
  const exits = [{ stats, agrees: Uint8Array.from(agrees) }];
  return { documents: [{ hash: "0".repeat(64), positions: margins.length, exits }] };
}

it("rankTokens has the AUROC and the area under the risk-coverage curve of an example computed by hand", () => {
  // By falling confidence: right, wrong, right, right, wrong. Of 6 pairs (right, wrong), 4 are in order. Risks at
  // coverage 1/5 to 1: 0, 1/2, 1/3, 1/4, 2/5.
  const { agreement, curve, auroc, aurc } = rankTokens(oneExit([5, 4, 3, 2, 1], [1, 0, 1, 1, 0]), 0, "margin");
  expect(auroc).toBeCloseTo(4 / 6, 12);
  expect(aurc).toBeCloseTo((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5, 12);
  expect(Array.from(curve, (share) => Number(share.toFixed(6)))).toEqual([1, 0.5, 0.666667, 0.75, 0.6]);
  expect(agreement).toBe(0.6);
  expect(rankTokens(oneExit([2, 1], [1, 1]), 0, "margin")).toMatchObject({ auroc: null, aurc: 0 });
});
