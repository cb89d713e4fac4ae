/**
 * Candidate policies on their own text: each writes after every prompt, with its exits on, and the result is judged
 * like given text (run-policies.ts). Certified .95 on given text kept 94.1 % on its own sampled text
 * (bench/reports/own-text.md). A document is a prompt with its group; its judged tokens are the new ones.
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { createPolicy } from "../../exits/plan/policy.js";
import { answerDocument, type Model } from "../../model/index.js";
import { writeAnswers } from "./answers/write-answers.js";
import { type CalibrationDocument, hashDocuments, type HashedDocument, judgedLength, partsOf } from "./documents.js";
import { joinCounts, type PolicyRuns, type RunCandidates } from "./policy-runs.js";
import { requireThresholds, runHashed, type RunPoliciesOptions } from "./run-policies.js";

export interface OwnTextOptions extends Omit<RunPoliciesOptions, "store"> {
  /** Tokens written after each prompt, unless the text ends before. @default 64 */
  readonly maxNewTokens?: number;
  /** Prompt i is sampled with seed + i. @default 0 */
  readonly seed?: number;
}

export async function runOwnText(
  heads: ExitHeads,
  prompts: readonly CalibrationDocument[],
  { score, fill, thresholds }: RunCandidates,
  { maxNewTokens = 64, seed = 0, onRun, ...options }: OwnTextOptions = {},
): Promise<PolicyRuns> {
  const sequenceLength = judgedLength(heads.model, options);
  requireInteger("runOwnText: maxNewTokens", maxNewTokens, 1, sequenceLength - 1);
  requireThresholds(thresholds, heads.depths.length);
  const texts = await promptTexts(heads, prompts, { maxNewTokens, sequenceLength });
  const { batchSize = 16, sampling, signal } = options;
  const asked = texts.map(({ ids }, index) => ({ index, promptIds: ids }));
  const writing = { ...sampling, maxNewTokens, seed, batchSize, signal };
  const runs: PolicyRuns[] = [];
  for (const vector of thresholds) {
    const written = await writeAnswers(heads, createPolicy(heads, vector, { score, fill }), asked, writing);
    const given = texts.map((text, i) => {
      const { ids } = written[i]!;
      return { ...text, ...answerDocument(text.ids, ids), tokens: ids.length };
    });
    const candidate = { score, fill, thresholds: [vector] };
    runs.push(await runHashed(heads, given, candidate, { ...options, sequenceLength }));
    await onRun?.({ done: runs.length, total: thresholds.length });
  }
  const [first] = runs;
  return {
    ...first!,
    thresholds,
    ownText: { maxNewTokens, seed },
    documents: first!.documents.map((document, d) => ({
      ...document,
      tokens: maxNewTokens,
      counts: joinCounts(runs.map(({ documents }) => ({ ...documents[d]!.counts, written: [documents[d]!.tokens] }))),
    })),
  };
}

/**
 * Leaves out prompts after which the judged length has no room. Throws an OptionError if none is left, or holds two
 * tokens.
 */
export async function promptTexts(
  heads: ExitHeads,
  prompts: readonly CalibrationDocument[],
  { maxNewTokens, sequenceLength }: { readonly maxNewTokens: number; readonly sequenceLength: number },
): Promise<HashedDocument[]> {
  const asked = prompts.filter((document) => promptLength(heads.model, document) + maxNewTokens <= sequenceLength);
  if (asked.length === 0) {
    throw new OptionError(
      "documents-empty",
      `runOwnText: no prompt leaves room for ${maxNewTokens} tokens within ${sequenceLength}; give shorter prompts, ` +
        "ask for fewer tokens, or raise sequenceLength",
      { maxNewTokens, sequenceLength },
    );
  }
  return hashDocuments(heads, asked, Infinity, true);
}

/** A document with a `from` is a prompt and an answer, in whose place the policy writes its own. */
function promptLength(model: Model, document: CalibrationDocument): number {
  const { text, ids, from = 0 } = partsOf(document);
  const { length } = ids ?? model.tokenizer.encode(text!);
  return from === 0 ? length : Math.min(length, from + 1);
}
