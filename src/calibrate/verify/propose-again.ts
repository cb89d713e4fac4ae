/**
 * The candidates, proposed again from the grid split: this shows thresholds that were chosen on the test documents.
 * Costs in milliseconds cannot be measured twice, so the stored ones are used.
 */
import type { Certificate } from "../certificate/certificate.js";
import type { CertifySettings } from "../certify/settings.js";
import { planTest } from "../certify/fixed-sequence.js";
import { rawThreshold } from "../procedures/token-table.js";
import type { Evidence } from "../record/evidence.js";
import { exitCosts } from "../record/subject.js";

/** Differences of candidates, costs or score. */
export async function proposeAgain(c: Certificate, evidence: Evidence, asked: CertifySettings): Promise<string[]> {
  const { policy, costs, costUnit } = c;
  const { score, fill } = policy;
  if (costUnit === "multiplyAdds") {
    const { reach, head, full } = exitCosts(evidence.subject, { fill });
    if (JSON.stringify([reach, head, full]) !== JSON.stringify([costs.reach, costs.head, costs.full])) {
      return ["costs: they are not the multiply-adds of this model and these heads"];
    }
  }
  const settings = costUnit === "milliseconds" ? { ...asked, knownCosts: costs } : asked;
  const again = await planTest(evidence, settings);
  if (again.score !== score) return [`candidates: the grid split proposes the score ${again.score}, not ${score}`];
  const { planned, candidates } = c.test ?? { planned: 0, candidates: [] };
  if (planned !== again.vectors.length) {
    return [`test: ${planned} candidates are said to be planned; the grid split proposes ${again.vectors.length}`];
  }
  const inWords = again.vectors.map((vector) => vector.map((one) => rawThreshold(one, score)).join(", "));
  const other = candidates.findIndex(({ thresholds }, i) => thresholds.join(", ") !== inWords[i]);
  if (other >= 0) {
    const { thresholds } = candidates[other]!;
    return [
      `test: candidate ${other} has the thresholds ${thresholds.join(", ")}; the grid split proposes ${inWords[other]}`,
    ];
  }
  const price = candidates.findIndex(({ cost }, i) => Math.abs(cost - again.costs[i]!) > 1e-9 * cost);
  if (price < 0) return [];
  return [
    `test: candidate ${price} is said to cost ${candidates[price]!.cost}; on the grid split it costs ` +
      String(again.costs[price]),
  ];
}
