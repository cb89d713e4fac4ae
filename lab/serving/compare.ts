/** Ways of batching rows again, in turn on the same texts. */
import { createSampler, type Request } from "../../src/model/decode/index.js";
import { generate, type ExitHeads, type Policy } from "early-exits";
import { advance, Sequence } from "early-exits/model";
import { createRng } from "early-exits/tensor";
import { plain, type ReBatching, type Step } from "./re-batching.js";

export interface CompareOptions {
  readonly policy: Policy;
  readonly ways: readonly ReBatching[];
  /** Tokens of each text, on average. */
  readonly tokens: number;
  readonly rounds: number;
}

/** Tokens per second, by round. */
export interface Compared {
  readonly plain: readonly number[];
  readonly ways: readonly { readonly name: string; readonly rates: readonly number[]; readonly different: number }[];
}

/** Writes the prompts' texts together, in every way in every round; prompts are not part of the time. */
export async function compareReBatching(
  heads: ExitHeads,
  prompts: readonly (readonly number[])[],
  { policy, ways, tokens, rounds }: CompareOptions,
): Promise<Compared> {
  await heads.freeze();
  const alone = await Promise.all(prompts.map((prompt) => textAlone(heads, policy, prompt, 2 * tokens)));
  const plainRates: number[] = [];
  const found = ways.map(({ name }) => ({ name, rates: [] as number[], different: 0 }));
  for (let round = -1; round < rounds; round++) {
    const timed = round >= 0;
    const before = await write(heads, prompts, tokens, plain(heads));
    if (timed) plainRates.push(before.rate);
    for (const w of round % 2 === 0 ? ways.keys() : [...ways.keys()].reverse()) {
      const { rate, texts } = await write(heads, prompts, tokens, ways[w]!.start(heads, policy));
      found[w]!.different += texts.filter((ids, i) => ids.join() !== alone[i]!.slice(0, ids.length).join()).length;
      if (timed) found[w]!.rates.push(rate);
    }
  }
  return { plain: plainRates, ways: found };
}

/** Steps until there are as many tokens as the texts should have together. */
async function write(
  heads: ExitHeads,
  prompts: readonly (readonly number[])[],
  tokens: number,
  step: Step,
): Promise<{ readonly rate: number; readonly texts: readonly (readonly number[])[] }> {
  const { model } = heads;
  const { numLayers } = model.config;
  const requests: Request[] = prompts.map((prompt) => {
    const sequence = new Sequence(model, prompt.length + 2 * tokens);
    sequence.append(...prompt);
    return { sequence, sampler: createSampler({ temperature: 0 }, createRng(0)), room: 1 };
  });
  const work = requests.map(({ sequence }) => ({ sequence, positions: sequence.pending(numLayers).slice(0, -1) }));
  advance(model, work, numLayers);
  const texts = new Map(requests.map((request) => [request, [] as number[]]));
  let written = 0;
  const started = performance.now();
  while (written < prompts.length * tokens) {
    const unfinished = requests.filter((request) => texts.get(request)!.length < 2 * tokens);
    for (const [request, id] of await step(unfinished)) {
      texts.get(request)!.push(id);
      request.sequence.append(id);
      written++;
    }
  }
  const rate = (1000 * written) / (performance.now() - started);
  for (const { sequence } of requests) sequence.dispose();
  return { rate, texts: [...texts.values()] };
}

/** The tokens that `generate` gives one prompt. */
export async function textAlone(
  heads: ExitHeads,
  policy: Policy | undefined,
  prompt: readonly number[],
  maxNewTokens: number,
): Promise<number[]> {
  const ids: number[] = [];
  const options = { maxNewTokens, stopAtEndOfText: false, ...(policy && { policy }) };
  for await (const { id } of generate(heads, prompt, options)) ids.push(id);
  return ids;
}
