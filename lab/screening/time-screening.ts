/**
 * Plain decoding with the full unembedding and with a screened one, in turns, on the same prompts: milliseconds per
 * token after the first, whether the tokens are the same, and what the ledger counted.
 */
import { generate, Model } from "early-exits";
import type { Prompt } from "early-exits/model";
import { type Timing, timingOf } from "../speed/timing.js";

export interface ScreeningTiming {
  /** Milliseconds per token after the first, one sample for each run. */
  readonly full: Timing;
  readonly screened: Timing;
  /** Full over screened, run by run. */
  readonly speedup: Timing;
  /** Logits computed exactly per token. */
  readonly exactLogits: number;
  /** Tokens for which the full product ran after all. */
  readonly fallbacks: number;
  readonly runs: number;
  readonly sameTokens: boolean;
}

interface ScreeningOptions {
  readonly maxNewTokens?: number;
  /** Hears of every pair of runs. */
  readonly onRun?: (done: number) => void;
}

interface Run {
  readonly ids: readonly number[];
  readonly ms: number;
  readonly heads: number;
  readonly exactLogits: number;
  readonly fallbacks: number;
}

/**
 * Decodes every prompt both ways. Which way goes first alternates, so that neither profits from what the other left in
 * the caches. The first prompt warms up and is not counted.
 */
export async function timeScreening(
  model: Model,
  prompts: readonly Prompt[],
  { maxNewTokens = 48, onRun }: ScreeningOptions = {},
): Promise<ScreeningTiming> {
  const { device, config, weights, dtype } = model;
  // The same weights, without the coarse copy.
  const plain = new Model({
    device,
    config,
    weights,
    dtype,
    tokenizer: model.hasTokenizer ? model.tokenizer : undefined,
    hash: () => model.hash(),
  });
  model.setUnembedding("screened");
  const full: Run[] = [];
  const screened: Run[] = [];
  for (const [i, prompt] of prompts.entries()) {
    const ways = [
      async () => full.push(await decode(plain, prompt, maxNewTokens)),
      async () => screened.push(await decode(model, prompt, maxNewTokens)),
    ];
    for (const way of i % 2 === 0 ? ways : ways.reverse()) await way();
    onRun?.(i + 1);
  }
  const counted = screened.slice(1);
  const sum = (value: (run: Run) => number): number => counted.reduce((total, run) => total + value(run), 0);
  return {
    full: timingOf(full.slice(1).map(({ ms }) => ms)),
    screened: timingOf(counted.map(({ ms }) => ms)),
    speedup: timingOf(counted.map(({ ms }, i) => full[i + 1]!.ms / ms)),
    exactLogits: sum(({ exactLogits }) => exactLogits) / sum(({ heads }) => heads),
    fallbacks: sum(({ fallbacks }) => fallbacks),
    runs: counted.length,
    sameTokens: screened.every(({ ids }, i) => ids.join() === full[i]!.ids.join()),
  };
}

async function decode(model: Model, prompt: Prompt, maxNewTokens: number): Promise<Run> {
  const run = generate(model, prompt, { maxNewTokens, stopAtEndOfText: false });
  const ids: number[] = [];
  let first = 0;
  let last = 0;
  for await (const { id } of run) {
    last = performance.now();
    if (ids.length === 0) first = last;
    ids.push(id);
  }
  const { decode: counts, steps } = run.summary.ledger;
  return {
    ids,
    ms: (last - first) / (ids.length - 1),
    heads: counts.finalHeads,
    exactLogits: counts.exactLogits,
    fallbacks: steps.filter(({ screenedHeads, exactLogits }) => screenedHeads > 0 && exactLogits === 0).length,
  };
}
