/**
 * The candidates of a certificate, proposed again from the grid split: "thresholds chosen on the test documents and
 * declared as candidates" shows here. Costs in milliseconds cannot be measured twice, so the stored ones are used.
 */
import type { Certificate, CertificateTest } from "../certificate/index.js";
import { type ExitCosts, rawThreshold } from "../procedures/index.js";
import { type Evidence, exitCosts } from "../record/index.js";
import { splitOf } from "./certify.js";
import { planSequence, type ScoredSequence } from "./plan-sequence.js";
import type { CertifySettings } from "./settings.js";
import { testByExit } from "./test-by-exit.js";

/** How the candidates, their costs, the score or the bound differ from what the grid split proposes; empty if not. */
export async function proposeAgain(c: Certificate, evidence: Evidence, asked: CertifySettings): Promise<string[]> {
  const { policy, costs, costUnit, tests, bound } = c;
  const { score } = policy;
  const settings: CertifySettings = {
    ...asked,
    unit: asked.unit === "token" ? "token" : evidence.unit,
    ...(costUnit === "milliseconds" && { knownCosts: costs }),
  };
  if (costUnit === "multiplyAdds") {
    const counted = exitCosts(evidence.subject, { fill: policy.fill });
    if (!sameCosts(counted, costs)) return ["costs: they are not the multiply-adds of this model and these heads"];
  }
  const split = splitOf(evidence);
  const sequence = await planSequence(evidence, split, settings);
  if (sequence.score !== score) {
    return [`candidates: the grid split proposes the score ${sequence.score}, not ${score}`];
  }
  if (c.procedure === "byExit") {
    const { tests: again } = await testByExit(evidence, split, sequence, settings);
    return tests.flatMap((test, i) => compare(describe(test), describe(again[i]!), `test ${i}`));
  }
  const [test] = tests;
  if (c.procedure !== "crc" && c.unit !== "token" && sequence.bound !== bound) {
    return [`candidates: the grid split chooses the bound ${sequence.bound}, not ${bound}`];
  }
  const again = describeSequence(sequence, test?.candidates.length ?? 0);
  const stored = test === undefined ? { planned: 0, thresholds: [], costs: [] } : describe(test);
  return compare(stored, again, "test 0");
}

/** What is compared. */
interface Proposed {
  readonly planned: number;
  readonly thresholds: readonly string[];
  readonly costs: readonly number[];
}

function describe({ planned, candidates }: CertificateTest): Proposed {
  return {
    planned,
    thresholds: candidates.map(({ thresholds }) => thresholds.join(", ")),
    costs: candidates.map(({ cost }) => cost),
  };
}

function describeSequence({ vectors, costs, score }: ScoredSequence, tested: number): Proposed {
  return {
    planned: vectors.length,
    thresholds: vectors
      .slice(0, tested)
      .map((vector) => vector.map((threshold) => rawThreshold(threshold, score)).join(", ")),
    costs: costs.slice(0, tested),
  };
}

function compare(stored: Proposed, again: Proposed, where: string): string[] {
  if (stored.planned !== again.planned) {
    return [`${where}: ${stored.planned} candidates are said to be planned; the grid split proposes ${again.planned}`];
  }
  const other = stored.thresholds.findIndex((thresholds, i) => thresholds !== again.thresholds[i]);
  if (other >= 0) {
    return [
      `${where}: candidate ${other} has the thresholds ${stored.thresholds[other]}; the grid split proposes ` +
        (again.thresholds[other] ?? "none"),
    ];
  }
  const price = stored.costs.findIndex((cost, i) => Math.abs(cost - again.costs[i]!) > 1e-9 * cost);
  if (price < 0) return [];
  return [
    `${where}: candidate ${price} is said to cost ${stored.costs[price]}; on the grid split it costs ` +
      String(again.costs[price]),
  ];
}

function sameCosts(a: ExitCosts, b: ExitCosts): boolean {
  return JSON.stringify([a.reach, a.head, a.full]) === JSON.stringify([b.reach, b.head, b.full]);
}
