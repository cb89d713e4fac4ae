/**
 * Text sampled from the model itself: data without a corpus, like the text that heads meet when it generates. Documents
 * are token ids; the prompt's begin-of-text token is no target.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger } from "../../errors.js";
import { generateWith } from "../../model/decode/generate.js";
import { plainDecoder } from "../../model/decode/decoder.js";
import { type Prompt, readPrompt } from "../../model/decode/prompt.js";
import type { SamplingOptions } from "../../model/decode/sampling.js";
import type { Model } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";

export interface SampleOptions extends SamplingOptions {
  /** @default 64 */
  readonly count?: number;
  /** New tokens per document at most. @default 128 */
  readonly length?: number;
  /** Used in turn. @default an empty document: the begin-of-text token */
  readonly prompts?: readonly Prompt[];
  /** @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
}

/** Yields prompt and continuation as token ids, at temperature 1 unless set. */
export async function* sampleDocuments(
  model: Model,
  options: SampleOptions = {},
): AsyncGenerator<number[], void, undefined> {
  const { count = 64, length = 128, prompts = [""], seed = 0, signal, temperature = 1, ...sampling } = options;
  requireInteger("sampleDocuments: count", count, 1);
  const rng = createRng(seed);
  for (let i = 0; i < count; i++) {
    const prompt = prompts[i % prompts.length]!;
    const ids = await readPrompt(model, prompt);
    const room = model.config.maxPositionEmbeddings - ids.length;
    const run = generateWith(
      model,
      ids,
      {
        ...sampling,
        temperature,
        maxNewTokens: Math.min(length, room),
        seed: rng.integer(2 ** 32),
        ...(signal && { signal }),
      },
      plainDecoder(model),
    );
    const document = [...ids];
    for await (const token of run) document.push(token.id);
    yield document;
  }
}
