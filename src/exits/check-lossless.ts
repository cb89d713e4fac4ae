/**
 * Is lossless decoding lossless here? Plain greedy and lossless decoding of the same prompts, compared token by token,
 * with the logits behind each token compared bit for bit. Where the device computes k rows with the bits of one
 * (`info.batchIndependent`), everything must be equal. Where it cannot promise that, rounding may flip tokens whose
 * best two logits are nearly tied: ties and flips are counted.
 */
import { OptionError } from "../errors.js";
import { type GeneratedToken, generateWith, type TextSummary } from "../model/decode/index.js";
import { decoderFor, type GenerateOptions } from "./generate.js";
import type { ExitHeads } from "./heads/index.js";
import { type Counts, Ledger, sumCounts } from "./cost/index.js";

export interface CheckLosslessOptions extends Pick<
  GenerateOptions,
  "policy" | "lossless" | "signal" | "stopAtEndOfText" | "maxNewTokens"
> {
  /** Called after every prompt, with how many are done. */
  readonly onPrompt?: (done: number) => void;
}

/** Where two texts part. */
export interface LosslessDifference {
  /** Index of the prompt, and of the new token. */
  readonly prompt: number;
  readonly token: number;
  /** The ids of plain and of lossless decoding, and both ids' logits in plain and in lossless decoding. */
  readonly ids: readonly [plain: number, lossless: number];
  readonly plainLogits: readonly [number, number];
  readonly losslessLogits: readonly [number, number];
  /** How far plain decoding's best logit is above the one of the token that lossless decoding chose. */
  readonly gap: number;
}

export interface LosslessCheck {
  readonly backend: string;
  /** Whether the device promises that k rows have the bits of one. */
  readonly promised: boolean;
  readonly prompts: number;
  /** Tokens compared: of every prompt, those up to the first difference. */
  readonly tokens: number;
  /** Tokens whose logits have the same bits; the largest difference among the others. */
  readonly equalBits: number;
  readonly largestDifference: number;
  /**
   * Tokens whose best two logits are no further apart than twice the largest difference of their rows: rounding may
   * decide there.
   */
  readonly ties: number;
  /** Prompts whose texts part. */
  readonly flips: number;
  readonly first: LosslessDifference | undefined;
  readonly acceptanceRate: number;
  readonly tokensPerRound: number;
  /** What lossless and plain decoding cost in all, prompts not counted. */
  readonly ledger: Readonly<Counts>;
  readonly plain: Readonly<Counts>;
}

/** Generates after every prompt both ways, and compares. Throws an OptionError where there are no prompts. */
export async function checkLossless(
  heads: ExitHeads,
  prompts: readonly (string | readonly number[])[],
  { onPrompt, lossless = true, policy, ...common }: CheckLosslessOptions,
): Promise<LosslessCheck> {
  if (prompts.length === 0) {
    throw new OptionError("prompt-empty", "checkLossless: there are no prompts to compare; give at least one");
  }
  const { device } = heads.model;
  const totals = { tokens: 0, equalBits: 0, largestDifference: 0, ties: 0, flips: 0 };
  const summaries: TextSummary[] = [];
  const counted: Counts[] = [];
  const plainly: Counts[] = [];
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
      const ids = [plain.ids[token]!, checked.ids[token]!] as const;
      if (ids[0] === ids[1]) continue;
      totals.flips++;
      first ??= {
        prompt,
        token,
        ids,
        plainLogits: [a[ids[0]]!, a[ids[1]]!],
        losslessLogits: [b[ids[0]]!, b[ids[1]]!],
        gap: a[ids[0]]! - a[ids[1]]!,
      };
      break;
    }
    summaries.push(checked.summary);
    const report = checked.ledger.report([checked.summary]);
    counted.push(report.decode);
    plainly.push(report.plain);
    onPrompt?.(prompt + 1);
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
    ledger: sumCounts(counted),
    plain: sumCounts(plainly),
  };
}

export interface GenerationTrace {
  readonly ids: readonly number[];
  /** The full model's logits behind every token; only where every token has some (plain or lossless decoding). */
  readonly logits: readonly Float32Array[];
  readonly tokens: readonly GeneratedToken[];
  readonly summary: TextSummary;
  readonly ledger: Ledger;
}

/**
 * Generates one text and keeps the full model's logits of every token, whether computed alone or verified in a batch.
 */
export async function traceGeneration(
  heads: ExitHeads,
  prompt: string | readonly number[],
  options: GenerateOptions,
): Promise<GenerationTrace> {
  const rounds: Promise<Float32Array>[] = [];
  const ledger = new Ledger(heads);
  const decoder = decoderFor(heads, options, { ledger, onLogits: (logits) => rounds.push(logits.read()) });
  const generation = generateWith(heads.model, prompt, options, decoder);
  const tokens: GeneratedToken[] = [];
  const logits: Float32Array[] = [];
  const { vocabSize } = heads.model.config;
  let round = 0;
  let row = 0;
  for await (const token of generation) {
    tokens.push(token);
    logits.push((await rounds[round]!).slice(row * vocabSize, (row + 1) * vocabSize));
    // A round's tokens are the accepted drafts and one that was not drafted.
    [round, row] = token.drafted ? [round, row + 1] : [round + 1, 0];
  }
  return { ids: tokens.map(({ id }) => id), logits, tokens, summary: generation.summary, ledger };
}

function largestDifferenceOf(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    if (!Object.is(a[i], b[i])) largest = Math.max(largest, Math.abs(a[i]! - b[i]!), Number.MIN_VALUE);
  } // 0 and -0 are other bits
  return largest;
}

function gapOfBestTwo(row: Float32Array): number {
  let best = -Infinity;
  let second = -Infinity;
  for (const value of row) {
    if (value > best) [best, second] = [value, best];
    else if (value > second) second = value;
  }
  return best - second;
}
