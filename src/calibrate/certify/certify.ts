/**
 * From evidence to a certified policy:
 *   split       the first documents of the seeded order are the grid split, all others are the test; no group is cut
 *   sequence    the grid split yields the score, the bound, the candidate threshold vectors and their order of testing
 *   test        the test documents yield a p-value for each candidate's null hypothesis "its risk exceeds epsilon";
 *               fixed-sequence testing accepts candidates in order while p <= delta, and ends before the first failure
 *   policy      the cheapest accepted candidate; if none is accepted, "never exit", which needs no test against the
 * model
 *               itself; against another model it is a candidate like any other, and nothing is promised if it fails
 *   certificate every count that these decisions rest on
 * Choices made on the grid split cost no validity, because the test documents have no part in them.
 */
import { OptionError } from "../../errors.js";
import type { Policy } from "../../exits/plan/index.js";
import type { Certificate } from "../certificate/index.js";
import { LIMITS } from "../recompute/index.js";
import { type Evidence, type EvidenceDocument, judgedBy } from "../record/index.js";
import { type CalibrationNotes, notesOf } from "./notes.js";
import { planSequence, type Split } from "./plan-sequence.js";
import { type CertifySettings, requireJudged } from "./settings.js";
import { testByExit } from "./test-by-exit.js";
import { testVectors } from "./test-vectors.js";
import { writeCertificate, writePolicy } from "./write-certificate.js";

/** A policy, and the certificate for it. */
export interface Certified {
  /** The one in the certificate. */
  readonly policy: Policy;
  readonly certificate: Certificate;
  /** What was possible, what it costs, and how far documents are from independent; no part of the claim. */
  readonly notes: CalibrationNotes;
}

/** Certifies a policy from evidence whose documents are in the seeded order. Every document must have tokens. */
export async function certify(evidence: Evidence, asked: CertifySettings): Promise<Certified> {
  const settings: CertifySettings = { ...asked, unit: asked.unit === "token" ? "token" : evidence.unit };
  requireJudged(settings, judgedBy(evidence.subject));
  requireBound(settings);
  requireFew(evidence.documents.length);
  const split = splitOf(evidence);
  const sequence = await planSequence(evidence, split, settings);
  const test = settings.procedure === "byExit" ? testByExit : testVectors;
  const result = await test(evidence, split, sequence, settings);
  const policy = writePolicy(evidence.subject, sequence.score, result, settings);
  const certificate = await writeCertificate({ evidence, split, sequence, result, policy, settings });
  const notes = await notesOf({ evidence, split, sequence, result, settings });
  return { policy, certificate, notes };
}

/** Where the documents are cut, and how many units the test has. */
export function splitOf({ documents, grid, unit }: Pick<Evidence, "documents" | "grid" | "unit">): Split {
  const test = documents.length - grid;
  const groupOf = ({ group }: EvidenceDocument): string => group ?? "";
  const units = unit === "document" ? test : new Set(documents.slice(grid).map(groupOf)).size;
  return { grid, test, units };
}

function requireBound({ bound, unit }: CertifySettings): void {
  if (bound !== "clopperPearson" || unit === "document") return;
  throw new OptionError(
    "option-conflict",
    'calibrate: bound "clopperPearson" is for losses of 0 or 1, but the loss of a group is a mean; ' +
      'use "wsr", or unit "document"',
    { bound, unit },
  );
}

function requireFew(documents: number): void {
  if (documents <= LIMITS.documents) return;
  throw new OptionError(
    "documents-many",
    `calibrate: ${documents} documents; a certificate holds at most ${LIMITS.documents}, so that anyone can ` +
      "verify it in seconds; give fewer",
    { documents },
  );
}
