/**
 * Candidate policies on text that they write themselves: each continues every prompt, with its exits on, and every
 * token that it writes is judged by the reference on the same prefix. Certified .95 on given text kept 94.1 % on its
 * own sampled text (bench/reports/own-text.md), so policies for generated text are certified on such text. The counts
 * have the form of `runPolicies`; a document is a prompt, and its tokens are the new ones.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger } from "../../errors.js";
import { AuditedText } from "../../exits/audit/index.js";
import { earlyExitDecoder } from "../../exits/decode/index.js";
import type { ExitHeads } from "../../exits/heads/index.js";
import { createPolicy, type Policy } from "../../exits/plan/index.js";
import { createSampler, LOSS_UNIT, type Sampler } from "../../model/decode/index.js";
import { advance, Sequence } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";
import {
  type CalibrationDocument,
  countedAs,
  createJudge,
  describeSubject,
  type DocumentCounts,
  type HashedDocument,
  hashDocuments,
  type Judge,
  type JudgeOptions,
  type PolicyRuns,
  requireScore,
  type RunCandidates,
} from "../record/index.js";

export interface OwnTextOptions extends JudgeOptions {
  /** Tokens that each policy writes after each prompt. An end of text does not end it. @default 64 */
  readonly maxNewTokens?: number;
  /** Texts that are written together. @default 16 */
  readonly batchSize?: number;
  /** Prompt i is sampled with seed + i. @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  /** Called after every candidate of every batch of prompts; a promise is awaited. */
  readonly onRun?: (event: { readonly done: number; readonly total: number }) => unknown;
}

/** Runs candidates on their own text. Throws an OptionError if no prompt holds two tokens. */
export async function runOwnText(
  heads: ExitHeads,
  prompts: readonly CalibrationDocument[],
  { score, fill, thresholds }: RunCandidates,
  options: OwnTextOptions = {},
): Promise<PolicyRuns> {
  const { maxNewTokens = 64, batchSize = 16, seed = 0, signal, onRun } = options;
  requireInteger("runOwnText: maxNewTokens", maxNewTokens, 1, heads.model.config.maxPositionEmbeddings);
  requireInteger("runOwnText: batchSize", batchSize, 1);
  await heads.freeze();
  const judge = createJudge(heads.model, options);
  const subject = await describeSubject(heads, judge);
  requireScore(subject, score);
  const texts = await hashDocuments(heads, prompts);
  const exits = heads.depths.length;
  const counts = texts.map(() => emptyCounts(thresholds.length, exits));
  const total = Math.ceil(texts.length / batchSize) * thresholds.length;
  let done = 0;
  for (let begin = 0; begin < texts.length; begin += batchSize) {
    const batch = texts.slice(begin, begin + batchSize);
    for (const [candidate, vector] of thresholds.entries()) {
      signal?.throwIfAborted();
      const policy = createPolicy(heads, vector, { score, fill });
      const rows = counts.slice(begin, begin + batchSize);
      await write(heads, batch, policy, { judge, maxNewTokens, seed: seed + begin }, (prompt, loss, exit) => {
        const { left, wrong, deep } = rows[prompt]!;
        const counted = (loss * judge.lossScale) / LOSS_UNIT;
        if (exit === undefined) deep[candidate]! += counted;
        else {
          left[candidate * exits + exit]!++;
          wrong[candidate * exits + exit]! += counted;
        }
      });
      await onRun?.({ done: ++done, total });
    }
  }
  return {
    format: "early-exits/policy-runs",
    version: 1,
    subject,
    score,
    fill,
    thresholds,
    sequenceLength: heads.model.config.maxPositionEmbeddings,
    ownText: { maxNewTokens, seed },
    documents: texts.map((text, d) => ({ ...countedAs(text), tokens: maxNewTokens, counts: counts[d]! })),
  };
}

type MutableCounts = { -readonly [Key in keyof DocumentCounts]: number[] };

function emptyCounts(candidates: number, exits: number): MutableCounts {
  const zeros = (length: number): number[] => new Array<number>(length).fill(0);
  return { left: zeros(candidates * exits), wrong: zeros(candidates * exits), deep: zeros(candidates) };
}

interface Writing {
  readonly judge: Judge;
  readonly maxNewTokens: number;
  readonly seed: number;
}

interface Lane {
  readonly sequence: Sequence;
  readonly text: AuditedText;
  readonly sampler: Sampler;
}

/** Writes a text after every prompt, and judges every token. */
async function write(
  heads: ExitHeads,
  prompts: readonly HashedDocument[],
  policy: Policy,
  { judge, maxNewTokens, seed }: Writing,
  onLoss: (prompt: number, loss: number, exit: number | undefined) => void,
): Promise<void> {
  const { model } = heads;
  const { numLayers } = model.config;
  const decoder = earlyExitDecoder(heads, policy);
  const lanes = prompts.map(({ ids }, prompt): Lane => {
    const sequence = new Sequence(model, ids.length + maxNewTokens, decoder.sides);
    sequence.append(...ids);
    const text = new AuditedText(judge.reference, ids, judge.sampling, (loss, exit) => {
      onLoss(prompt, loss, exit);
    });
    return { sequence, text, sampler: text.watch(createSampler(judge.sampling, createRng(seed + prompt))) };
  });
  try {
    const prefill = lanes.map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers).slice(0, -1) }));
    advance(model, prefill, numLayers);
    for (let t = 0; t < maxNewTokens; t++) {
      const rounds = await decoder.next(lanes.map(({ sequence, sampler }) => ({ sequence, sampler, room: 1 })));
      for (const [i, { sequence, text }] of lanes.entries()) {
        const { id, exit } = rounds[i]!.tokens[0]!;
        await text.add(id, exit);
        if (t + 1 < maxNewTokens) sequence.append(id);
      }
    }
    for (const { text } of lanes) await text.judge();
  } finally {
    for (const { sequence, text } of lanes) {
      sequence.dispose();
      text.dispose();
    }
  }
}
