/**
 * A certificate: everything that a claim about a policy rests on, as plain JSON, so that anyone can redo the arithmetic
 * (verify-certificate.ts does, without this code). It holds the counts of every tested vector on every test document;
 * losses, p-values, the choice and the measured outcome follow from them. `digest` is the SHA-256 of all the rest in
 * canonical form. It reveals an accidental change, but not a change by somebody who computes the digest anew: only the
 * recomputation reveals that.
 */
import { PolicyError } from "../../errors.js";
import type { Policy } from "../../exits/plan/index.js";
import type { Threshold } from "../../exits/heads/index.js";
import { sha256 } from "../../model/index.js";
import type { ExitCosts, MeanBound } from "../procedures/index.js";
import type { PolicyOutcome } from "../record/index.js";

/**
 * overall     the share of a document's tokens that the policy changes is, in the mean over documents, <= 1 - agreement
 * anyChange   the share of documents in which it changes any token is <= 1 - agreement
 * selective   at every exit in use, the share of wrong tokens among those that leave there is <= 1 - agreement
 */
export type Claim = "overall" | "anyChange" | "selective";

/**
 * What is assumed to be independent: documents, or (selective claims only) single tokens, although the tokens of one
 * document are not.
 */
export type Unit = "document" | "token";

/**
 * fixedSequence   vectors in a fixed order at δ each, up to the first failure
 * bonferroni      all vectors, at an equal share of δ each
 * byExit          selective claims exit by exit, on disjoint documents, at δ/K each
 * crc             conformal risk control: a promise in the mean only
 */
export type CertifiedProcedure = "fixedSequence" | "bonferroni" | "byExit" | "crc";

/** What a threshold vector did on the documents of its test, document after document. */
export interface CertificateCounts {
  readonly thresholds: readonly Threshold[];
  /** [documents, exits] tokens that left at each exit. */
  readonly left: readonly number[];
  /** [documents, exits] of these, the tokens that differ from the full model's. */
  readonly wrong: readonly number[];
  /** [documents] tokens that ran all blocks and still differ from the full model's; empty if the fill is exact. */
  readonly deep: readonly number[];
}

export interface CertificateCandidate extends CertificateCounts {
  /** Mean cost of a token on the grid split: the cheapest accepted candidate is chosen. */
  readonly cost: number;
  /**
   * On the test documents: the mean loss, or the worst exit's share of wrong tokens; under crc the mean of each
   * document's largest loss so far.
   */
  readonly risk: number;
  /** Of the null hypothesis "its risk exceeds 1 - agreement"; null under crc. */
  readonly pValue: number | null;
}

/** One sequence of candidates tested on some of the test documents. */
export interface CertificateTest {
  /** The exit under test; null if whole vectors are tested. */
  readonly exit: number | null;
  /** The probability of error that this test may use. */
  readonly delta: number;
  /** Test documents [first, first + documents). */
  readonly first: number;
  readonly documents: number;
  /** In the order of testing, up to the first failure of a fixed sequence. */
  readonly candidates: readonly CertificateCandidate[];
  /** How many candidates were planned. */
  readonly planned: number;
  readonly accepted: readonly number[];
  readonly chosen: number | "never";
}

/** Everything that a claim about a policy rests on; plain, JSON-able. `verifyCertificate` recomputes it. */
export interface Certificate {
  readonly format: "early-exits/certificate";
  readonly version: 1;
  readonly libraryVersion: string;
  readonly claim: Claim;
  readonly agreement: number;
  /**
   * probability: the claim holds with probability 1 - delta over the draw of calibration documents. expectation: it
   * holds in the mean over such draws.
   */
  readonly promise: "probability" | "expectation";
  readonly delta: number;
  readonly unit: Unit;
  readonly bound: MeanBound | "binomial" | "crc";
  readonly procedure: CertifiedProcedure;
  readonly assumptions: readonly string[];
  /** The certified policy: score, thresholds, fill, and hashes of model and heads. */
  readonly policy: Policy;
  readonly numLayers: number;
  /** The backend that computed the scores; their last bits may differ on others. */
  readonly backend: string;
  /** The first `grid` documents are the grid split. Documents are in the order of SHA-256("seed:hash"). */
  readonly split: { readonly seed: number; readonly grid: number };
  readonly documents: readonly { readonly hash: string; readonly tokens: number }[];
  /** Most tokens per window: longer documents are judged window by window. */
  readonly sequenceLength: number;
  /**
   * What a token costs by the exit where it leaves. Costs decided which candidates were proposed and which accepted
   * candidate was chosen; the claim does not rest on them. With the score `gate`, `head` is the cost of the gate, and
   * `reach` includes that of the head.
   */
  readonly costs: ExitCosts;
  /** Unit of the costs; milliseconds are those of the machine that made the certificate. @default "multiplyAdds" */
  readonly costUnit?: "multiplyAdds" | "milliseconds";
  readonly tests: readonly CertificateTest[];
  /** The certified vector on all test documents, and its loss on each. */
  readonly accepted: CertificateCounts & { readonly losses: readonly number[] };
  /** Its agreement, coverage and depth there. */
  readonly measured: PolicyOutcome;
  /**
   * 0 if a policy that exits was certified; otherwise about how many more units would be needed, null if no number
   * would do.
   */
  readonly furtherUnits: number | null;
  readonly digest: string;
}

/** Returns the certificate with its digest. */
export async function sealCertificate(certificate: Omit<Certificate, "digest">): Promise<Certificate> {
  return { ...certificate, digest: await digestOf(certificate) };
}

async function digestOf(content: object): Promise<string> {
  return sha256(new TextEncoder().encode(canonicalJson(content)));
}

/** JSON with sorted keys and no spaces: one text for one value. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
}

/**
 * Checks that parsed JSON is a certificate of this version; `verifyCertificate` checks what it says. Throws a
 * PolicyError.
 */
export function checkCertificate(json: unknown): Certificate {
  const certificate = json as Partial<Certificate> | null;
  if (typeof certificate !== "object" || certificate?.format !== "early-exits/certificate") {
    throw new PolicyError("certificate-format", 'certificate: expected {"format": "early-exits/certificate", …}');
  }
  if (certificate.version !== (1 as number)) {
    throw new PolicyError(
      "certificate-version",
      `certificate: version ${JSON.stringify(certificate.version)} is not supported, only 1; update the library`,
      { version: certificate.version },
    );
  }
  return certificate as Certificate;
}
