/**
 * A certificate: one policy and everything that a claim about it rests on, as plain JSON, so that anyone can redo the
 * arithmetic (verify-certificate.ts does, without this code). It holds the counts of every tested vector on every test
 * document; losses, p-values, the choice and the measured outcome follow from them. What runs is the policy in here:
 * there is no second one beside it. `digest` is the SHA-256 of all the rest in canonical form. It reveals an accidental
 * change, but not a change by somebody who computes the digest anew: that takes the recomputation, and, for whatever
 * does not follow from the counts, the model, the heads and the text (../verify).
 */
import { PolicyError } from "../../errors.js";
import type { CertifiedSampling, Policy, Reference } from "../../exits/plan/index.js";
import type { ScoreName, Threshold } from "../../exits/heads/index.js";
import { sha256 } from "../../model/index.js";
import type { ExitCosts, MeanBound } from "../procedures/index.js";
import type { OwnText, PolicyOutcome } from "../record/index.js";
import type { AssumptionCode } from "./assumptions.js";

/**
 * overall     the share of a document's tokens that the policy changes is, in the mean over documents, <= 1 - agreement
 * anyChange   the share of documents in which it changes any token is <= 1 - agreement
 * selective   at every exit in use, the share of wrong tokens among those that leave there is <= 1 - agreement
 */
export type Claim = "overall" | "anyChange" | "selective";

/**
 * What is taken as independent, and so counted: documents; groups of documents (a source, a speaker, a user), each with
 * the mean loss of its documents; or (selective claims only) single tokens, although those of one document are not.
 */
export type Unit = "document" | "group" | "token";

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
  /** [documents, exits] of these, the tokens that differ from the full model's, times `lossScale`. */
  readonly wrong: readonly number[];
  /** [documents] tokens that ran all blocks and still differ, times `lossScale`; empty if the fill is exact. */
  readonly deep: readonly number[];
}

export interface CertificateCandidate extends CertificateCounts {
  /** Mean cost of a token on the grid split: the cheapest accepted candidate is chosen. */
  readonly cost: number;
  /**
   * On the test documents: the mean loss, or the worst exit's share of wrong tokens; under crc the mean of each unit's
   * largest loss so far.
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
  /** The cheapest accepted candidate whose loss, weighted by copies of documents, is within 1 - agreement. */
  readonly chosen: number | "never";
}

export interface CertificateDocument {
  /** SHA-256 of the token ids (and of where counting begins, if not at the first). */
  readonly hash: string;
  /** Number of tokens that are judged. */
  readonly tokens: number;
  /** SHA-256 of the name of its group, or its own hash if it has none; absent if no document has a group. */
  readonly group?: string;
  /** How many of the documents given are this one or nearly this one; it is counted once. @default 1 */
  readonly copies?: number;
}

/** What was asked for; together with the documents, it decides which candidates are proposed. */
export interface CertificateSettings {
  /** "best": the score with the lowest expected cost on the grid split. */
  readonly score: ScoreName | "best";
  /** "best": the bound under which the grid split predicts the lowest cost. */
  readonly bound: MeanBound | "best";
  /** Most candidates. */
  readonly candidates: number;
  /** Share of the units in the grid split. */
  readonly gridShare: number;
  /** Whether the candidates were proposed on other documents, so that they cannot be proposed again from these. */
  readonly given: boolean;
  /** How the policies wrote the text themselves; absent if it was given. */
  readonly ownText?: OwnText;
}

export interface CertificateGroups {
  /** Number of groups that the documents name; 0 if they name none. */
  readonly count: number;
  /** grouped: the unit is the group. assumed: documents (or tokens) were taken as independent. */
  readonly independence: "assumed" | "grouped";
  /**
   * If documents name groups and were taken as independent all the same: by which factor the variance of the mean loss
   * of the certified vector is larger than that assumption allows; null if no vector or no group tells.
   */
  readonly designEffect: number | null;
}

/** Everything that a claim about a policy rests on; plain, JSON-able. `verifyCertificate` recomputes it. */
export interface Certificate {
  readonly format: "early-exits/certificate";
  readonly version: 2;
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
  /** What must be true of the world for the claim to hold; `describeAssumption` has the words. */
  readonly assumptions: readonly AssumptionCode[];
  /** How tokens are chosen from logits, by the policy and by the full model alike. */
  readonly sampling: CertifiedSampling;
  /** The full model that the policy is compared with. */
  readonly reference: Reference;
  /** What a token that certainly differs adds to `wrong` or `deep`: 1 for greedy text. */
  readonly lossScale: number;
  /** The certified policy: score, thresholds, fill, and hashes of model and heads. What runs is this one. */
  readonly policy: Policy;
  readonly numLayers: number;
  /** The backend that computed the scores; their last bits may differ on others. */
  readonly backend: string;
  /** Which build of the kernels; null if it was not recorded. */
  readonly kernelBuild: string | null;
  readonly settings: CertificateSettings;
  readonly groups: CertificateGroups;
  /**
   * The first `grid` documents are the grid split. Documents are in the order of SHA-256("seed:hash"); if the unit is
   * the group, first in that of SHA-256("seed:group").
   */
  readonly split: { readonly seed: number; readonly grid: number };
  /** Distinct documents. */
  readonly documents: readonly CertificateDocument[];
  /** Most tokens per window: longer documents are judged window by window. */
  readonly sequenceLength: number;
  /**
   * What a token costs by the exit where it leaves. Costs decided which candidates were proposed and which accepted
   * candidate was chosen; the claim does not rest on them.
   */
  readonly costs: ExitCosts;
  readonly otherCosts: null;
  /** Unit of the costs; milliseconds are those of the machine that made the certificate. */
  readonly costUnit: "multiplyAdds" | "milliseconds";
  readonly tests: readonly CertificateTest[];
  /** The certified vector on all test documents, and its loss on each. */
  readonly accepted: CertificateCounts & { readonly losses: readonly number[] };
  /** Its agreement, coverage and depth there. */
  readonly measured: PolicyOutcome;
  /**
   * 0 if a policy that exits was certified; otherwise about how many more units of the test (documents, groups or
   * tokens) would be needed, null if no number would do.
   */
  readonly furtherUnits: number | null;
  /** The same in documents to add to all those given, of which a share goes to the grid split. */
  readonly furtherDocuments: number | null;
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
 * PolicyError. A file of the first version is refused: it does not say what its candidates were proposed from.
 */
export function checkCertificate(json: unknown): Certificate {
  const certificate = json as Partial<Certificate> | null;
  if (typeof certificate !== "object" || certificate?.format !== "early-exits/certificate") {
    throw new PolicyError("certificate-format", 'certificate: expected {"format": "early-exits/certificate", …}');
  }
  if (certificate.version !== (2 as number)) {
    const remedy =
      certificate.version === (1 as number)
        ? "certificates of version 1 do not bind everything they claim; calibrate again"
        : "update the library";
    throw new PolicyError(
      "certificate-version",
      `certificate: version ${JSON.stringify(certificate.version)} is not supported, only 2; ${remedy}`,
      { version: certificate.version },
    );
  }
  return certificate as Certificate;
}
