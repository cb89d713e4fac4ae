/**
 * The assumptions of a claim: codes in the file for programs, words for people. The codes follow from the rest of
 * the certificate; the verifier derives them anew.
 */
import type { CertifiedLoss, CertifiedSampling, Policy, Reference } from "../../exits/plan/policy.js";
import { describeSampling } from "../../model/index.js";
import { type AnswerSettings, judgedTokens, type JudgedTerms } from "../record/policy-runs.js";
import type { Unit } from "../record/split.js";

export type AssumptionCode =
  | "documents-independent"
  | "groups-independent"
  | "documents-distinct"
  | "training-unknown"
  | "text-as-given"
  | "own-text"
  | "answers"
  | "fill-exact"
  | "fill-as-deployed"
  | "device-bits";

const sentences: Readonly<Record<AssumptionCode, string>> = {
  "documents-independent":
    "The calibration documents and those met in use are independent draws from one population; tokens within a " +
    "document may depend on each other in any way. Nothing here supports this. Copies so much edited that prompt or " +
    "judged text share less than three fifths of their passages of five words count as documents of their own.",
  "groups-independent":
    "The groups and those met in use are independent draws from one population; documents of one group may depend on " +
    "each other in any way. The claim is about new groups.",
  "documents-distinct":
    "Some documents were given more than once, exactly or nearly. The claim holds for distinct documents, each " +
    "counted once with the mean of its copies' losses, and for documents as given, every copy counted.",
  "training-unknown":
    "The heads do not know which text taught them. It is assumed that none of these documents did: heads agree more " +
    "on text that they have learned from than on new text.",
  "text-as-given":
    "Each token is judged against the full model's on the same prefix, text as given (teacher-forced), up to " +
    "the length that the claim names; past it, nothing was judged. Text that the policy writes itself is another " +
    "population: calibrate on such text where it matters.",
  "own-text":
    "Each token is judged against the full model's on the same prefix, in text that the policy wrote itself after " +
    "the documents as prompts, up to its end or the length tested. Text of another kind or length is another " +
    "population. The candidates were proposed on other documents; the file cannot show that these are not among them.",
  answers:
    "The full model and the policy each answered every prompt as generate does, from the same random numbers, and " +
    "the answers were compared, and with those expected where the loss asks for them. The claim is about prompts " +
    "like these, answered with these settings; prompts made from one template may be more alike than they look.",
  "fill-exact":
    "The fill leaves tokens that run all blocks as the full model has them; so one recorded pass shows what the " +
    "policy does.",
  "fill-as-deployed":
    "The fill changes other tokens too. The policy was run as deployed, from the first judged token on, and every " +
    "token is counted.",
  "device-bits": "Scores are compared as this device computes them; another device may differ in last bits.",
};

export function describeAssumption(code: AssumptionCode): string {
  return sentences[code];
}

/** The claim in words: "…, with probability 95 %". `whose` the tokens should be: by default as its terms say. */
export function describeClaim(terms: ClaimTerms, whose?: string): string {
  const { loss, agreement, delta, unit, sampling, reference, sequenceLength, policy, settings } = terms;
  if (policy?.certified?.impossible === true) {
    return `nothing could be certified against the ${reference.dtype} model, not even to run all blocks`;
  }
  const share = percent(agreement);
  const groups = unit === "group" ? ", averaged over groups" : undefined;
  const probability = percent(1 - delta);
  const kind = policy?.certified?.population;
  const about = kind === undefined ? "" : ` (certified on: ${kind})`;
  const answered = settings.answers;
  if (answered !== undefined) {
    const what = `${answerClaim(loss, answered)}${groups ?? " on average"}`;
    const length = `answered with at most ${answered.maxNewTokens} tokens`;
    return `on prompts like these${about}, ${length}, ${what}, with probability ${probability}`;
  }
  const judged = judgedTokens(terms);
  const where =
    `in texts of at most ${sequenceLength} tokens` +
    (judged + 1 < sequenceLength ? `, of which at most ${judged} were judged` : "") +
    about;
  if (loss === "anyChange") {
    return `at least ${share} of the documents are unchanged, ${where}${groups ?? ""}, with probability ${probability}`;
  }
  const other = `the ${reference.dtype} model's (checkpoint ${reference.checkpoint.slice(0, 8)}…)`;
  const model = whose ?? (reference.kind === "same" ? "the full model's" : other);
  const plain = sampling.temperature === 0 && sampling.repetitionPenalty === 1;
  const how = plain ? "" : ` (text by ${describeSampling(sampling)})`;
  const what = `at least ${share} of a document's tokens are ${model}${how}`;
  const of = groups ? "the documents of a group and over groups" : "documents";
  return `${what}, ${where}, averaged over ${of}, with probability ${probability}`;
}

interface ClaimTerms extends JudgedTerms {
  readonly loss: CertifiedLoss;
  readonly agreement: number;
  readonly delta: number;
  readonly unit: Unit;
  readonly sampling: CertifiedSampling;
  readonly reference: Reference;
  readonly policy?: Pick<Policy, "certified">;
}

function answerClaim(loss: CertifiedLoss, { epsilon, definition }: AnswerSettings): string {
  const share = percent(epsilon);
  const points = share.replace("%", "points");
  const claims: Partial<Record<CertifiedLoss, string>> = {
    changed: `${share} of the answers change`,
    worse: `${share} of the answers become wrong`,
    accuracy: `${points} of accuracy are lost`,
    rougeL: `${points} of ROUGE-L are lost`,
  };
  return `at most ${claims[loss] ?? `${epsilon} is lost, by the loss ${definition.slice(0, 12)}…,`}`;
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(12))} %`;
}

interface AssumptionTerms {
  readonly unit: Unit;
  readonly exactFill: boolean;
  readonly of: "text-as-given" | "own-text" | "answers";
  /** True if any document was given more than once. */
  readonly repeated: boolean;
  readonly trainingKnown: boolean;
}

export function assumptionsOf({ unit, exactFill, repeated, of, trainingKnown }: AssumptionTerms): AssumptionCode[] {
  return [
    `${unit}s-independent` as const,
    ...(repeated ? (["documents-distinct"] as const) : []),
    ...(trainingKnown ? [] : (["training-unknown"] as const)),
    of,
    ...(of === "answers" ? [] : [exactFill ? ("fill-exact" as const) : ("fill-as-deployed" as const)]),
    "device-bits",
  ];
}
