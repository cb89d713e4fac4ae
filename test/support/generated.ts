/** Collects the text of `generate` and the choices of decoders. */
import { type ExitHeads, generate, type GeneratedToken, type GenerateOptions, type Model } from "early-exits";
import { Sequence } from "early-exits/model";
import { createSampler, type Decoder } from "../../src/model/decode/decoder.js";
import { createRng } from "../../src/tensor/rng.js";

/** Twelve tokens after a prompt unless options say otherwise, through those that end a text. */
export async function generated(
  source: Model | ExitHeads,
  prompt: Parameters<typeof generate>[1],
  options: GenerateOptions = {},
) {
  const run = generate(source, prompt, { maxNewTokens: 12, stopAtEndOfText: false, ...options });
  const tokens: GeneratedToken[] = [];
  for await (const token of run) tokens.push(token);
  return { tokens, ids: tokens.map(({ id }) => id), summary: run.summary };
}

/** A decoder's greedy choice after a sequence. */
export async function nextToken(decoder: Decoder, sequence: Sequence) {
  const [round] = await decoder.next([{ sequence, sampler: createSampler({}, createRng(0)), room: 1 }]);
  return round!.tokens[0]!;
}

/** The ids of six greedy choices after a prompt, and the states that they were made from. */
export async function statesOf(decoder: Decoder, model: Model, prompt: readonly number[]) {
  const sequence = new Sequence(model);
  sequence.append(...prompt);
  const states: Float32Array[] = [];
  for (let i = 0; i < 6; i++) {
    const { id } = await nextToken(decoder, sequence);
    states.push(await sequence.hidden(sequence.length - 1).read());
    sequence.append(id);
  }
  return { states, ids: sequence.ids };
}
