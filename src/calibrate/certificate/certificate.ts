/**
 * A certificate: one policy and everything that a claim about it rests on, as plain JSON. It holds the counts of every
 * tested vector on every test document; losses, p-values, the choice and the measured outcome follow from them.
 * `digest`, the seal, is the SHA-256 of all the rest in canonical form. Whoever opens a certificate checks it
 * (../open-policy.ts). It reveals damage and changes, but not those of somebody who computes it anew: these take
 * recomputation (../recompute), and, for what does not follow from the counts, model, heads and text (../verify).
 */
import type { CertifiedLoss, CertifiedSampling, Policy, Reference } from "../../exits/plan/policy.js";
import type { ScoreName, Threshold } from "../../exits/heads/score.js";
import { sha256 } from "../../model/sha256.js";
import type { AnswerTally, ExitCosts } from "../procedures/tally.js";
import type { AnswerSettings, OwnText } from "../record/policy-runs.js";
import type { PolicyOutcome } from "../record/outcome.js";
import type { Unit } from "../record/split.js";
import type { AssumptionCode } from "./assumptions.js";

/**
 * Counts of a threshold vector. Losses are counted in tokens; total variations in units of 2^-20. Rows are the test
 * documents; with copies they are all documents given, those of the grid split in both readings first
 * (record/split.ts), each followed by its copies.
 */
export interface CertificateCounts {
  readonly thresholds: readonly Threshold[];
  /** [rows, exits] tokens that left at each exit. */
  readonly left: readonly number[];
  /** [rows, exits] of these, the tokens that differ from the full model's, in units of the loss. */
  readonly wrong: readonly number[];
  /** [rows] tokens that ran all blocks and still differ, counted alike; empty if the fill is exact. */
  readonly deep: readonly number[];
  /** [rows] tokens of text that the policy wrote itself. */
  readonly written?: readonly number[];
  /** [rows] of its answers, in place of `wrong` and `deep`, which are empty then: losses, tokens, and SHA-256. */
  readonly answers?: Omit<AnswerTally, "full">;
}

export interface CertificateCandidate extends CertificateCounts {
  /** Mean cost of a token on the grid split. */
  readonly cost: number;
  /** The mean loss of the test's units, a document and its copies counted once. */
  readonly risk: number;
  /** Of the null hypothesis "its risk exceeds 1 - agreement"; with copies, the larger of both readings'. */
  readonly pValue: number;
}

/** The fixed sequence: candidates at delta each, up to the first failure. */
export interface CertificateTest {
  readonly candidates: readonly CertificateCandidate[];
  readonly planned: number;
  /** Number of accepted candidates, from the first on. */
  readonly accepted: number;
  /** The cheapest accepted candidate whose mean loss over all documents given, copies too, is within 1 - agreement. */
  readonly chosen: number | "never";
}

export interface CertificateCopy {
  /** SHA-256 of the token ids (and of where counting begins, if not at the first). */
  readonly hash: string;
  /** Judged tokens; of a prompt, those of the full model's answer. */
  readonly tokens: number;
  /** SHA-256 of the token ids of the full model's answer, where answers are compared. */
  readonly answer?: string;
  /** SHA-256 of its group's name, or its own hash if it has none; absent if no document has a group. */
  readonly group?: string;
}

interface CertificateDocument extends CertificateCopy {
  /** Other documents that are this one, exactly or nearly, in ascending order of hash and group. */
  readonly copies?: readonly CertificateCopy[];
}

/** The options asked for: with the documents, they decide which candidates are proposed. */
interface CertificateSettings {
  /** "best": the score with the lowest expected cost on the grid split. */
  readonly score: ScoreName | "best";
  /** Most candidates. */
  readonly candidates: number;
  /** Certificates made together, among which delta was divided; absent if it is the only one. */
  readonly choices?: number;
  /** Share of the units in the grid split. */
  readonly gridShare: number;
  /**
   * Settings of text that policies wrote after the documents, which are prompts; the candidates were proposed on
   * others. Absent if text was given.
   */
  readonly ownText?: OwnText;
  /** Settings of answers to the documents, which are prompts. Absent if tokens were compared. */
  readonly answers?: AnswerSettings;
}

interface CertificateGroups {
  /** Groups that the documents name. */
  readonly count: number;
  /**
   * If documents name groups and were taken as independent all the same: the factor by which the variance of the mean
   * loss of the certified vector exceeds that assumption's; null if no vector or no group tells.
   */
  readonly designEffect: number | null;
}

/** Everything that a claim about a policy rests on; plain, JSON-able. */
export interface Certificate {
  readonly format: "early-exits/certificate";
  readonly version: 3;
  readonly libraryVersion: string;
  /**
   * The loss of a document, whose mean is at most 1 - agreement with probability 1 - delta over the draw of documents:
   *   token            the share of its tokens that change
   *   totalVariation   the same for sampled text: the mean total variation of its tokens
   *   anyChange        1 if any of its tokens changes
   * Of answers, whose epsilon is in the settings:
   *   changed, worse   1 if the answer changes, or becomes wrong
   *   rougeL, own      1 - ROUGE-L, or what a function says
   *   accuracy         the accuracy lost, in [-1, 1]
   * The bound follows: the exact binomial for 0 or 1 in single documents, otherwise betting (WSR), for accuracy on
   * (1 + d) / 2 against (1 + epsilon) / 2.
   */
  readonly loss: CertifiedLoss;
  readonly agreement: number;
  readonly delta: number;
  readonly unit: Unit;
  /** `describeAssumption` has the words. */
  readonly assumptions: readonly AssumptionCode[];
  /** Sampling settings of the policy and the full model alike. */
  readonly sampling: CertifiedSampling;
  readonly reference: Reference;
  /** The certified policy, which runs: score, thresholds, fill, and hashes of model and heads. */
  readonly policy: Policy;
  readonly numLayers: number;
  /** The backend that computed the scores; on others, last bits may differ. */
  readonly backend: string;
  /** Build of the kernels; null if not recorded. */
  readonly kernelBuild: string | null;
  readonly settings: CertificateSettings;
  readonly groups: CertificateGroups;
  /**
   * The first `grid` documents are the grid split. They are in the order of SHA-256("seed:hash"); if the unit is the
   * group, first of SHA-256("seed:group").
   */
  readonly split: { readonly seed: number; readonly grid: number };
  /**
   * Documents that were given and left out, because their text taught the heads; absent if the heads do not know which
   * text did.
   */
  readonly taught?: number;
  /** Distinct documents, each with its copies. */
  readonly documents: readonly CertificateDocument[];
  /** Tokens up to which a document is judged, and to which the claim goes. */
  readonly sequenceLength: number;
  /**
   * The cost of a token by the exit where it leaves: decides which candidates were proposed and which was chosen. The
   * claim does not rest on it.
   */
  readonly costs: ExitCosts;
  /** Milliseconds are those of the machine that made the certificate. */
  readonly costUnit: "multiplyAdds" | "milliseconds";
  /** null if no candidate was worth a test. */
  readonly test: CertificateTest | null;
  /** The certified vector, and its loss on each test document, its copies included in the mean. */
  readonly accepted: CertificateCounts & { readonly losses: readonly number[] };
  readonly measured: PolicyOutcome;
  /**
   * 0 if a policy that exits was certified; otherwise about how many more units of the test would be needed, null if no
   * number would do.
   */
  readonly furtherUnits: number | null;
  /** `furtherUnits` in documents to add to all those given. */
  readonly furtherDocuments: number | null;
  readonly digest: string;
}

export async function sealCertificate(certificate: Omit<Certificate, "digest">): Promise<Certificate> {
  return { ...certificate, digest: await sha256(canonicalJson(certificate)) };
}

/** JSON with sorted keys and no spaces: one text for one value. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) {
    const plain = value.every((member) => typeof member === "number"); // counts: most of a certificate
    return plain ? JSON.stringify(value) : `[${value.map(canonicalJson).join(",")}]`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
}
