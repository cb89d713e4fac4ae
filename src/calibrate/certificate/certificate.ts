/**
 * A certificate: everything that a claim about a policy rests on, as plain JSON, so that somebody else can redo the
 * arithmetic (verify-certificate.ts does, without this code). Counts of every vector that was tested, on every test
 * document; from them follow losses, p-values, the choice and what was measured. `digest` is the SHA-256 of all the
 * rest in canonical form: it shows that a file was changed by accident, not by somebody who computes it anew; that is
 * what the recomputation is for.
 */
import { PolicyError } from "../../errors.js";
import type { Policy } from "../../exits/plan/index.js";
import type { Threshold } from "../../exits/heads/index.js";
import { sha256 } from "../../model/index.js";
import type { ExitCosts, MeanBound } from "../procedures/index.js";
import type { PolicyOutcome } from "../record/index.js";

/**
 * overall     the mean over documents of the share of tokens that the policy changes is <= 1 - agreement
 * anyChange   the share of documents in which it changes any token is <= 1 - agreement
 * selective   of the tokens that leave at an exit, a share <= 1 - agreement is wrong, at every exit in use
 */
export type Claim = "overall" | "anyChange" | "selective";

/**
 * What is taken to be independent: documents, or (selective claims only) single tokens, which the tokens of a document
 * are not.
 */
export type Unit = "document" | "token";

/**
 * byExit: selective claims exit by exit, on disjoint documents at δ/K. crc: conformal risk control, a promise in the
 * mean only.
 */
export type CertifiedProcedure = "fixedSequence" | "bonferroni" | "byExit" | "crc";

/** What a vector of thresholds did on the documents of its test, document after document. */
export interface CertificateCounts {
  readonly thresholds: readonly Threshold[];
  /** [documents, exits] tokens that left there, and those of them that differ from the full model's. */
  readonly left: readonly number[];
  readonly wrong: readonly number[];
  /** [documents] differing tokens among those that ran all blocks; empty where the fill is exact. */
  readonly deep: readonly number[];
}

export interface CertificateCandidate extends CertificateCounts {
  /** Mean cost of a token on the grid split: the cheapest accepted candidate is chosen. */
  readonly cost: number;
  /**
   * On the test documents: mean loss, or the worst exit's share of wrong tokens; under crc the mean of the largest loss
   * so far.
   */
  readonly risk: number;
  /** Of "its risk exceeds 1 - agreement"; null under crc. */
  readonly pValue: number | null;
}

/** One sequence of candidates tested on some of the test documents. */
export interface CertificateTest {
  /** The exit that is judged; null where the whole vector is. */
  readonly exit: number | null;
  /** The chance of error that this test may use. */
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

/** Everything that a claim about a policy rests on, as plain JSON; `verifyCertificate` recomputes it. */
export interface Certificate {
  readonly format: "early-exits/certificate";
  readonly version: 1;
  readonly libraryVersion: string;
  readonly claim: Claim;
  readonly agreement: number;
  /**
   * probability: the claim holds with probability 1 - delta over the draw of calibration documents. expectation: in the
   * mean over such draws.
   */
  readonly promise: "probability" | "expectation";
  readonly delta: number;
  readonly unit: Unit;
  readonly bound: MeanBound | "binomial" | "crc";
  readonly procedure: CertifiedProcedure;
  readonly assumptions: readonly string[];
  /** The policy that is certified: score, thresholds, fill, and hashes of model and heads. */
  readonly policy: Policy;
  readonly numLayers: number;
  /** What computed the scores; the last bits may differ elsewhere. */
  readonly backend: string;
  /** The first `grid` documents gave the candidates; the order of documents is that of SHA-256("seed:hash"). */
  readonly split: { readonly seed: number; readonly grid: number };
  readonly documents: readonly { readonly hash: string; readonly tokens: number }[];
  /** Tokens per window at most: longer documents are judged window by window. */
  readonly sequenceLength: number;
  /**
   * What a token costs by where it leaves: it decided which of the accepted candidates was chosen, and nothing else.
   * With the score `gate`, `head` is the gate and `reach` holds the head.
   */
  readonly costs: ExitCosts;
  /**
   * Of the costs; milliseconds are those of the machine where it was made. @default "multiplyAdds", as in certificates
   * that do not say
   */
  readonly costUnit?: "multiplyAdds" | "milliseconds";
  readonly tests: readonly CertificateTest[];
  /** The certified vector on all test documents, and its loss on each. */
  readonly accepted: CertificateCounts & { readonly losses: readonly number[] };
  /** What it did there. */
  readonly measured: PolicyOutcome;
  /**
   * 0 where a policy with exits was certified; else about how many more units would be needed, null where no number
   * would do.
   */
  readonly furtherUnits: number | null;
  readonly digest: string;
}

/** Adds the digest. */
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
 * Checks that parsed JSON is a certificate of this version; what it says is for `verifyCertificate`. Throws a
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
