/**
 * From evidence to a certified policy:
 *   split       the first documents of the seeded order are the grid split, all others are the test
 *   sequence    the grid split yields the score, the candidate threshold vectors and their order of testing
 *   test        the test documents yield a p-value for each candidate's null hypothesis "its risk exceeds epsilon";
 *               fixed-sequence testing accepts candidates in order while p <= delta, and ends before the first failure
 *   policy      the cheapest accepted candidate; if none is accepted, "never exit", which needs no test against the model
 *               itself; against another model it is a candidate like any other, and nothing is promised if it fails
 *   certificate every count that these decisions rest on
 * Choices made on the grid split cost no validity, because the test documents have no part in them.
 */
import type { Policy } from "../../exits/plan/index.js";
import type { Certificate } from "../certificate/index.js";
import { type Evidence, gridSize, judgedBy } from "../record/index.js";
import { planSequence } from "./plan-sequence.js";
import { type CertifySettings, requireJudged } from "./settings.js";
import { testByExit } from "./test-by-exit.js";
import { testVectors } from "./test-vectors.js";
import { writeCertificate, writePolicy } from "./write-certificate.js";

/** A policy, and the certificate for it. */
export interface Certified {
  readonly policy: Policy;
  readonly certificate: Certificate;
}

/** Certifies a policy from evidence whose documents are in the seeded order. Every document must have tokens. */
export async function certify(evidence: Evidence, settings: CertifySettings): Promise<Certified> {
  requireJudged(settings, judgedBy(evidence.subject));
  const grid = gridSize(evidence.documents.length, settings.gridShare);
  const split = { grid, test: evidence.documents.length - grid };
  const sequence = await planSequence(evidence, split, settings);
  const test = settings.procedure === "byExit" ? testByExit : testVectors;
  const result = await test(evidence, split, sequence, settings);
  const policy = writePolicy(evidence.subject, sequence.score, result, settings);
  const certificate = await writeCertificate({ evidence, split, sequence, result, policy, settings });
  return { policy, certificate };
}
