/**
 * Checks that lossless decoding is lossless on this device: decodes the same prompts greedily both ways, plain and
 * lossless, and compares token by token, and the logits behind each token bit for bit. If the device computes k rows
 * with the bits of one (`info.batchIndependent`), everything must be equal. Otherwise rounding may flip tokens whose
 * best two logits are nearly tied, so ties and flips are counted.
 */
import type { ExitHeads, GeneratedToken, GenerateOptions } from "early-exits";
import { type Counts, createDecoder } from "early-exits/exits";
import { type Ledger, ledgerOf, sumCounts } from "../src/exits/cost/ledger.js";
import type { UnitCosts } from "../src/exits/cost/unit-costs.js";
import { generateBatchWith } from "../src/model/decode/generate.js";
import type { Prompt } from "../src/model/decode/prompt.js";
import type { TextSummary } from "../src/model/decode/writer.js";

type CheckLosslessOptions = Pick<GenerateOptions, "policy" | "lossless" | "stopAtEndOfText" | "maxNewTokens">;

/** The first token at which two texts differ. */
interface LosslessDifference {
  /** Index of the prompt. */
  readonly prompt: number;
  /** Index of the new token. */
  readonly token: number;
  /** The ids that plain and lossless decoding chose. */
  readonly ids: readonly [plain: number, lossless: number];
  /** The logits of both ids in plain decoding. */
  readonly plainLogits: readonly [number, number];
  /** The logits of both ids in lossless decoding. */
  readonly losslessLogits: readonly [number, number];
  /** In plain decoding: its best logit minus the logit of the token that lossless decoding chose. */
  readonly gap: number;
}

export interface LosslessCheck {
  readonly backend: string;
  /** True if the device guarantees that k rows have the bits of one. */
  readonly promised: boolean;
  readonly prompts: number;
  /** Tokens compared: for every prompt, those up to and including the first difference. */
  readonly tokens: number;
  /** Tokens whose logits are bit-identical. */
  readonly equalBits: number;
  /** Largest absolute difference between the logits of a token. */
  readonly largestDifference: number;
  /**
   * Tokens whose logits differ and whose best two are no further apart than twice the largest difference between the
   * two rows, so that rounding may decide.
   */
  readonly ties: number;
  /** Prompts whose texts differ. */
  readonly flips: number;
  readonly first: LosslessDifference | undefined;
  readonly acceptanceRate: number;
  readonly tokensPerRound: number;
  /** Total cost of lossless decoding, without the prefill. */
  readonly ledger: Readonly<Counts>;
  /** Total cost of plain decoding, without the prefill. */
  readonly plain: Readonly<Counts>;
}

/** Costs at which a plan drafts as much as may be accepted: further rows of a verification cost nothing. */
export const freeRows: UnitCosts = {
  block: [
    { rows: 1, cost: 1 },
    { rows: 2, cost: 1 },
  ],
  heads: [0, 0, 0, 0],
  finalHead: [
    { rows: 1, cost: 1 },
    { rows: 2, cost: 1 },
  ],
};

/** Generates after every prompt both ways and compares. */
export async function checkLossless(
  heads: ExitHeads,
  prompts: readonly Prompt[],
  { lossless = true, policy, ...common }: CheckLosslessOptions,
): Promise<LosslessCheck> {
  const { device } = heads.model;
  const totals = { tokens: 0, equalBits: 0, largestDifference: 0, ties: 0, flips: 0 };
  const summaries: TextSummary[] = [];
  const losslessCounts: Counts[] = [];
  const plainCounts: Counts[] = [];
  let first: LosslessDifference | undefined;
  for (const [prompt, text] of prompts.entries()) {
    const plain = await traceGeneration(heads, text, common);
    const checked = await traceGeneration(heads, text, { ...common, ...(policy && { policy }), lossless });
    for (let token = 0; token < plain.ids.length; token++) {
      const a = plain.logits[token]!;
      const b = checked.logits[token]!;
      const difference = largestDifferenceOf(a, b);
      totals.tokens++;
      if (difference === 0) totals.equalBits++;
      totals.largestDifference = Math.max(totals.largestDifference, difference);
      if (difference > 0 && gapOfBestTwo(a) <= 2 * difference) totals.ties++;
      const plainId = plain.ids[token]!;
      const losslessId = checked.ids[token]!;
      if (plainId === losslessId) continue;
      totals.flips++;
      first ??= {
        prompt,
        token,
        ids: [plainId, losslessId],
        plainLogits: [a[plainId]!, a[losslessId]!],
        losslessLogits: [b[plainId]!, b[losslessId]!],
        gap: a[plainId]! - a[losslessId]!,
      };
      break;
    }
    summaries.push(checked.summary);
    const report = checked.ledger.report([checked.summary]);
    losslessCounts.push(report.decode);
    plainCounts.push(report.plain);
  }
  const sum = (name: "newTokens" | "rounds" | "drafted" | "accepted"): number =>
    summaries.reduce((total, summary) => total + summary[name], 0);
  return {
    backend: device.backend,
    promised: device.info.batchIndependent,
    prompts: prompts.length,
    ...totals,
    first,
    acceptanceRate: sum("accepted") / sum("drafted"),
    tokensPerRound: sum("newTokens") / sum("rounds"),
    ledger: sumCounts(losslessCounts),
    plain: sumCounts(plainCounts),
  };
}

/** One generation, with the logits behind its tokens. */
interface GenerationTrace {
  readonly ids: readonly number[];
  /** The full model's logits [V] behind every token. Plain and lossless decoding have them for every token. */
  readonly logits: readonly Float32Array[];
  readonly tokens: readonly GeneratedToken[];
  readonly summary: TextSummary;
  readonly ledger: Ledger;
}

/**
 * Generates one text by plain or lossless decoding, and keeps the full model's logits of every token, whether they were
 * computed alone or in a verification.
 */
export async function traceGeneration(
  heads: ExitHeads,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<GenerationTrace> {
  const rounds: Promise<Float32Array>[] = [];
  const ledger = ledgerOf(heads);
  const decoder = createDecoder(heads, options, { ledger, onLogits: (logits) => rounds.push(logits.read()) });
  const generation = generateBatchWith(heads.model, [prompt], options, decoder);
  const tokens: GeneratedToken[] = [];
  const logits: Float32Array[] = [];
  const { vocabSize } = heads.model.config;
  let round = 0;
  let row = 0;
  for await (const token of generation) {
    tokens.push(token);
    logits.push((await rounds[round]!).slice(row * vocabSize, (row + 1) * vocabSize));
    // A round's tokens are the accepted drafts and, at its end, one that was not drafted.
    if (token.drafted) {
      row++;
    } else {
      round++;
      row = 0;
    }
  }
  return { ids: tokens.map(({ id }) => id), logits, tokens, summary: generation.summaries[0]!, ledger };
}

/** The largest absolute difference; above 0 if any bits differ, and 0 and -0 do. */
function largestDifferenceOf(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    if (!Object.is(a[i], b[i])) largest = Math.max(largest, Math.abs(a[i]! - b[i]!), Number.MIN_VALUE);
  }
  return largest;
}

function gapOfBestTwo(row: Float32Array): number {
  let best = -Infinity;
  let second = -Infinity;
  for (const value of row) {
    if (value > best) {
      second = best;
      best = value;
    } else if (value > second) {
      second = value;
    }
  }
  return best - second;
}
