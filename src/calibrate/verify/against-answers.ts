/**
 * A certificate of answers against its prompts: documents are split and candidates proposed again, and every prompt of
 * the test is answered again, by the full model and by every candidate that was tested, from the first token on;
 * answers, losses and where tokens left are compared with what is stored. As for text that is given, only records and
 * the split are made by the maker's code: `generateBatch` answers here, and not the loop that begins where answers may
 * differ, and copies are found anew (check-documents.ts). A loss of one's own runs only if it is given here, and has
 * the hash that the certificate names.
 */
import { OptionError } from "../../errors.js";
import { generateBatch } from "../../exits/generate.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import type { Policy } from "../../exits/plan/policy.js";
import type { Certificate, CertificateCounts } from "../certificate/certificate.js";
import { countsOf } from "../certify/fixed-sequence.js";
import { orientThreshold } from "../procedures/token-table.js";
import { answerEvidence } from "../record/answers/answer-evidence.js";
import { type AnswerLossOptions, answerJudge } from "../record/answers/losses.js";
import type { AskedText, WriteAnswersOptions, WrittenAnswer } from "../record/answers/write-answers.js";
import { firstCounted } from "../record/evidence.js";
import type { VerifyOptions } from "./against-model.js";
import {
  checkTaught,
  judgeLosses,
  otherBuild,
  proposeAgain,
  settingsOf,
  type TextFindings,
  vectorsOf,
} from "./against-text.js";
import { checkDocuments, classDocuments } from "./check-documents.js";

/** Model and heads are those of the certificate. Throws an OptionError if its loss is a function, and none is given. */
export async function checkAnswers(
  c: Certificate,
  heads: ExitHeads,
  { prompts = [], answerLoss, signal, onDocument, ...options }: VerifyOptions,
): Promise<TextFindings> {
  const { sampling, policy } = c;
  const { epsilon, definition, expected, ...answers } = c.settings.answers!;
  const loss = c.loss === "own" ? answerLoss : (c.loss as AnswerLossOptions["loss"]);
  if (loss === undefined) {
    throw new OptionError(
      "loss-missing",
      `verifyCertificate: the loss is a function with the hash ${definition.slice(0, 12)}…; give it (answerLoss), or ` +
        "leave the prompts out",
      { definition },
    );
  }
  const judge = await answerJudge({ ...options, loss });
  if (judge.definition !== definition) {
    return { reasons: [`loss: it is defined by ${judge.definition}, not by ${definition}`] };
  }
  const settings = settingsOf(c);
  const evidence = await answerEvidence(
    heads,
    prompts,
    judge,
    {
      ...{ answers, sampling, signal },
      onAnswer: ({ done, total }) => onDocument?.({ document: done, documents: total }),
    },
    { ...settings, epsilon },
    { write: writeAgain, classed: (documents) => classDocuments(documents, heads.model, true) },
  );
  if (evidence.answers!.expected !== expected) {
    return { reasons: ["prompts: other answers are expected than those that were certified, or in another order"] };
  }
  const build = otherBuild(c, evidence.subject);
  const documents = checkDocuments(c, evidence, build === undefined);
  const differing = [...checkTaught(c, evidence.subject, evidence.taught), ...documents];
  if (differing.length > 0) return { reasons: differing };
  const { score } = policy;
  const first = firstCounted(evidence);
  const stored = build === undefined ? vectorsOf(c) : [c.accepted];
  const vectors = stored.map(({ thresholds }) => thresholds.map((threshold) => orientThreshold(threshold, score)));
  const tally = await evidence.run!(first, evidence.documents.length, { score, vectors });
  const found = vectors.map((vector, v) => countsOf(evidence, tally, v, vector, policy));
  if (build !== undefined) {
    return { reasons: judgeLosses(c, found[0]!.answers!.losses, evidence, Infinity), unchecked: build };
  }
  const reasons = await proposeAgain(c, evidence, settings);
  for (const [v, counts] of found.entries()) {
    const rows = evidence.documents.slice(first);
    const row = rows.findIndex((_, at) => spelled(counts, at) !== spelled(stored[v]!, at));
    if (row < 0) continue;
    reasons.push(
      `candidate ${v} does not answer prompt ${rows[row]!.place} as the certificate stores it (found: ` +
        `${spelled(counts, row)}; stored: ${spelled(stored[v]!, row)})`,
    );
  }
  return { reasons };
}

/** Writes every answer from the first token on, whatever is known. */
async function writeAgain(
  heads: ExitHeads,
  policy: Policy | undefined,
  texts: readonly AskedText[],
  { onAnswer, batchSize, seed = 0, ...options }: WriteAnswersOptions,
): Promise<WrittenAnswer[]> {
  const answers: WrittenAnswer[] = [];
  const size = options.temperature === 0 ? batchSize : 1; // prompts that follow each other have other seeds
  for (let begin = 0; begin < texts.length; begin += size) {
    const part = texts.slice(begin, begin + size);
    const run = generateBatch(
      heads,
      part.map(({ promptIds }) => promptIds),
      { ...options, seed: seed + part[0]!.index, ...(policy && { policy }) },
    );
    const left = part.map(() => heads.depths.map(() => 0));
    for await (const { prompt, exit } of run) {
      if (exit !== undefined) left[prompt]![exit]!++;
    }
    for (const [i, answer] of run.summaries.entries()) {
      answers.push({ ...answer, left: left[i]! });
      await onAnswer?.();
    }
  }
  return answers;
}

function spelled({ answers, left, thresholds: { length } }: CertificateCounts, row: number): string {
  const { hashes, losses, written } = answers!;
  const leaving = left.slice(row * length, (row + 1) * length).join(", ");
  return `${hashes[row]}, loss ${losses[row]}, ${written[row]} tokens, of which left ${leaving}`;
}
