/**
 * What must be true of the world for a claim to hold: codes in the file, so that a reader's program can decide, and
 * words for people. Which codes a certificate has follows from the rest of it; the verifier derives them anew.
 */
import type { CertifiedSampling, Reference } from "../../exits/plan/index.js";
import { describeSampling } from "../../model/index.js";

export type AssumptionCode =
  | "documents-independent"
  | "groups-independent"
  | "tokens-independent"
  | "documents-distinct"
  | "expectation-only"
  | "text-as-given"
  | "own-text"
  | "fill-exact"
  | "fill-as-deployed"
  | "candidates-given"
  | "device-bits";

const sentences: Readonly<Record<AssumptionCode, string>> = {
  "documents-independent":
    "The calibration documents and those met in use are independent draws from one population; tokens within a " +
    "document may depend on each other in any way. Nothing here supports this.",
  "groups-independent":
    "The groups and those met in use are independent draws from one population; documents of one group may depend on " +
    "each other in any way. The claim is about new groups.",
  "tokens-independent":
    "Tokens are independent draws from one population. Tokens of one document are not: under clustering this claim " +
    "fails more often than it says.",
  "documents-distinct":
    "Some documents were given more than once, exactly or nearly; each is counted once, so the claim is about " +
    "distinct documents.",
  "expectation-only": "It holds in the mean over draws of calibration documents, not for each draw.",
  "text-as-given":
    "Each token is judged against the full model's on the same prefix, text as given (teacher-forced). Text that the " +
    "policy writes itself is another population: calibrate on such text where it matters.",
  "own-text":
    "Each token is judged against the full model's on the same prefix, in text that the policy wrote itself after " +
    "the documents as prompts, and up to the length tested. Text of another kind or length is another population.",
  "fill-exact":
    "The fill leaves tokens that run all blocks as the full model has them; so one recorded pass shows what the " +
    "policy does.",
  "fill-as-deployed":
    "The fill changes other tokens too. The policy was run as deployed, from the first judged token on, and every " +
    "token is counted.",
  "candidates-given":
    "The candidates were proposed on other documents. Whether those have no document in common with these, the file " +
    "cannot show.",
  "device-bits": "Scores are compared as this device computes them; another device may differ in last bits.",
};

/** The sentence for a code. */
export function describeAssumption(code: AssumptionCode): string {
  return sentences[code];
}

/** The claim in words: "with probability 95 %, …". */
export function describeClaim(terms: ClaimTerms): string {
  const { claim, agreement, promise, delta, unit, sampling, reference } = terms;
  const model = reference.kind === "same" ? "the full model's" : `the ${reference.dtype} model's`;
  const how =
    sampling.temperature === 0 && sampling.repetitionPenalty === 1 ? "" : ` (text by ${describeSampling(sampling)})`;
  const share = percent(agreement);
  const of = unit === "group" ? "averaged over the documents of a group and over groups" : "averaged over documents";
  const what = {
    overall: `at least ${share} of a document's tokens are ${model}${how}, ${of}`,
    anyChange: `at least ${share} of the documents are unchanged${unit === "group" ? ", averaged over groups" : ""}`,
    selective: `at every exit, at least ${share} of the tokens that leave are ${model}${how}`,
  }[claim];
  return promise === "expectation"
    ? `${what}, in the mean over calibrations (nothing is promised for a single one)`
    : `${what}, with probability ${percent(1 - delta)}`;
}

/** What the words for a claim follow from. */
export interface ClaimTerms {
  readonly claim: "overall" | "anyChange" | "selective";
  readonly agreement: number;
  readonly promise: "probability" | "expectation";
  readonly delta: number;
  readonly unit: "document" | "group" | "token";
  readonly sampling: CertifiedSampling;
  readonly reference: Reference;
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(6))} %`;
}

/** What the codes follow from. */
export interface AssumptionTerms {
  readonly unit: "document" | "group" | "token";
  readonly procedure: string;
  readonly exactFill: boolean;
  readonly given: boolean;
  /** Whether the policies wrote the text themselves. */
  readonly ownText: boolean;
  /** Whether any document was given more than once. */
  readonly repeated: boolean;
}

/** The codes of a certificate with these terms, in a fixed order. */
export function assumptionsOf({
  unit,
  procedure,
  exactFill,
  given,
  repeated,
  ownText,
}: AssumptionTerms): AssumptionCode[] {
  return [
    `${unit}s-independent` as const,
    ...(repeated ? (["documents-distinct"] as const) : []),
    ...(procedure === "crc" ? (["expectation-only"] as const) : []),
    ownText ? "own-text" : "text-as-given",
    exactFill ? "fill-exact" : "fill-as-deployed",
    ...(given ? (["candidates-given"] as const) : []),
    "device-bits",
  ];
}
