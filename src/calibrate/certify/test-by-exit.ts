/**
 * Tests exit by exit (selective claims): each exit on its own part of the test documents at delta / K, so that no exit
 * can veto another (`certifyByExit`).
 */
import type { CertificateCandidate, CertificateTest } from "../certificate/index.js";
import { certifyByExit, type ExitTest, type Tally, tallyVectors } from "../procedures/index.js";
import type { Evidence } from "../record/index.js";
import { isFair } from "./losses.js";
import { type ScoredSequence, selective, type Split, tokenOrDocument } from "./plan-sequence.js";
import type { CertifySettings } from "./settings.js";
import { cheapest, countsOf, type Terms, type TestResult } from "./test-result.js";

/** Proposes and tests thresholds of one exit after another; of the sequence, only score and costs are used. */
export async function testByExit(
  { table, documents }: Evidence,
  split: Split,
  { score, exitCosts, bound }: ScoredSequence,
  settings: CertifySettings,
): Promise<TestResult> {
  const { epsilon, delta, claim, unit = "document", fill } = settings;
  const test = await table(split.grid, split.grid + split.test, score);
  const grid = await table(0, split.grid, score);
  const copies = documents.slice(split.grid).map((document) => document.copies);
  const options = {
    epsilon,
    delta,
    unit: tokenOrDocument(settings),
    bound: selective(bound),
    allowed: ({ exit, first, documents: count }: ExitTest, tally: Tally, candidate: number): boolean =>
      isFair(tally, candidate, { claim, unit, epsilon, copies: copies.slice(first, first + count), exits: [exit] }),
  };
  const { vector, tests } = certifyByExit(grid, test, exitCosts, options);
  return {
    tests: tests.map((one) => describeTest(one, { score, fill, other: false })),
    vector,
    impossible: false,
    tally: tallyVectors(test, [vector]),
    furtherUnits: vector.some((threshold) => threshold < Infinity) ? 0 : null,
  };
}

/** The test as the certificate holds it: with the counts of every candidate up to the first failure. */
function describeTest(one: ExitTest, terms: Terms): CertificateTest {
  const candidates = one.vectors.slice(0, one.accepted.length + 1).map((vector, i): CertificateCandidate => ({
    ...countsOf(one.tally!, i, vector, terms),
    cost: one.costs[i]!,
    risk: shareWrong(one, i),
    pValue: one.pValues[i]!,
  }));
  return {
    exit: one.exit,
    delta: one.delta,
    first: one.first,
    documents: one.documents,
    planned: one.vectors.length,
    accepted: [...one.accepted],
    candidates,
    chosen: cheapest(one.allowed, one.costs),
  };
}

/** Share of wrong tokens among those that left at the exit under test. */
function shareWrong({ tally, exit }: ExitTest, candidate: number): number {
  const { documents, candidates, exits, lossScale = 1, left, wrong } = tally!;
  let leaving = 0;
  let mistaken = 0;
  for (let d = 0; d < documents; d++) {
    const at = (d * candidates + candidate) * exits + exit;
    leaving += left[at]!;
    mistaken += wrong[at]!;
  }
  return leaving === 0 ? 0 : mistaken / lossScale / leaving;
}
