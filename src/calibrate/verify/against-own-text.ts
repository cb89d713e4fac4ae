/**
 * A certificate about own text: every tested candidate writes again after the same prompts in the same order, and the
 * reference judges every token again. Another build of the kernels may write other text, so only the kept agreement is
 * compared.
 */
import type { Certificate, CertificateCounts } from "../certificate/certificate.js";
import { countedEvidence, firstCounted } from "../record/evidence.js";
import { arrange } from "../record/split.js";
import { judgedBy } from "../record/subject.js";
import { type OwnTextOptions, promptTexts, runOwnText } from "../record/own-text.js";
import type { PolicyRuns } from "../record/policy-runs.js";
import type { VerifyOptions } from "./against-model.js";
import { checkDocuments, classDocuments } from "./check-documents.js";
import { documentLosses, judgeAgreement, otherBuild, type TextFindings } from "./findings.js";

/** Needs heads and the prompts as documents. */
export async function checkOwnText(c: Certificate, options: VerifyOptions): Promise<TextFindings> {
  const { heads, documents, against, signal } = options;
  const { ownText, gridShare } = c.settings;
  if (heads === undefined || documents === undefined || ownText === undefined) {
    return { reasons: ["own text: records do not show it; give heads and the prompts"] };
  }
  const vectors = [...(c.test?.candidates ?? []), c.accepted];
  const writing: OwnTextOptions = {
    ...ownText,
    sequenceLength: c.sequenceLength,
    sampling: c.sampling,
    against,
    signal,
  };
  const { score, fill } = c.policy;
  const candidates = { score, fill, thresholds: vectors.map(({ thresholds }) => thresholds) };
  const runs = await runOwnText(heads, documents, candidates, writing);
  const { subject } = runs;
  const unchecked = otherBuild(c, subject);
  const texts = await promptTexts(heads, documents, { ...ownText, sequenceLength: c.sequenceLength });
  const kin = new Map(classDocuments(texts, heads.model, true).map((text) => [text.hash, text.kin]));
  const prompts = runs.documents.map((document) => ({ ...document, kin: kin.get(document.hash)! }));
  const arrangement = await arrange(prompts, { seed: c.split.seed, gridShare, unit: c.unit });
  const { taught } = arrangement;
  if (taught !== (c.taught ?? 0)) return { reasons: [`own text: ${taught} of the prompts taught the heads`] };
  const evidence = countedEvidence({ ...runs, documents: prompts }, arrangement);
  const differing = checkDocuments(c, evidence);
  if (differing.length > 0) return { reasons: differing };
  const tested = arrangement.order.slice(firstCounted(evidence));
  if (unchecked !== undefined) {
    const whole = judgedBy(subject).lossScale * ownText.maxNewTokens;
    const losses = documentLosses(evidence, lossesOf(runs, vectors.length - 1, tested, whole));
    return { reasons: judgeAgreement(c, losses), unchecked };
  }
  const reasons = vectors.flatMap((vector, v) => {
    const what = v === vectors.length - 1 ? "the certified vector" : `candidate ${v}`;
    return matches(vector, runs, v, tested) ? [] : [`own text: ${what} does not write what is stored`];
  });
  return { reasons };
}

function countsOf(
  { documents, subject }: PolicyRuns,
  candidate: number,
  document: number,
): [number[], number[], number] {
  const { left, wrong, deep } = documents[document]!.counts;
  const exits = subject.depths.length;
  const row = (counts: readonly number[]): number[] => counts.slice(candidate * exits, (candidate + 1) * exits);
  return [row(left), row(wrong), deep[candidate]!];
}

function matches(stored: CertificateCounts, runs: PolicyRuns, candidate: number, tested: readonly number[]): boolean {
  const found = tested.map((document) => countsOf(runs, candidate, document));
  return (
    stored.left.join() === found.flatMap(([left]) => left).join() &&
    stored.wrong.join() === found.flatMap(([, wrong]) => wrong).join() &&
    found.every(([, , deep], d) => (stored.deep[d] ?? 0) === deep)
  );
}

function lossesOf(runs: PolicyRuns, candidate: number, tested: readonly number[], whole: number): number[] {
  return tested.map((document) => {
    const [, wrong, deep] = countsOf(runs, candidate, document);
    return (wrong.reduce((sum, loss) => sum + loss, 0) + deep) / whole;
  });
}
