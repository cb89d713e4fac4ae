/**
 * Lossless sampling has the full model's distribution: every random decision is enumerated on a vocabulary of 3,
 * through the real decoder, drafted by exits or by a look-ahead head, and a chi-square test runs on the embedded
 * model. Drafters that look at their sample, and other mutants, must fail.
 */
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  generateBatch,
  type Policy,
  type SamplingOptions,
} from "early-exits";
import { createDecoder } from "early-exits/exits";
import { createReferenceDevice, createRng } from "early-exits/tensor";
import { advance, Sequence } from "early-exits/model";
import { checkSampling, processedDistribution } from "../../../src/model/decode/sampling.js";
import { createDevice, readModel } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { type ExitChoice, leaveEarly } from "../../../src/exits/decode/decode.js";
import { draftPlan, type DraftPlan } from "../../../src/exits/draft/draft-plan.js";
import { losslessDecoder } from "../../../src/exits/draft/lossless-decoder.js";
import { countedCosts } from "../../../src/exits/cost/unit-costs.js";
import { createSampler, type Decoder, type Sampler } from "../../../src/model/decode/decoder.js";
import { freeRows } from "../../../lab/check-lossless.js";
import { smallConfigs, smallModel } from "../../support/models.js";
import { sumOf, times } from "../../support/lists.js";

const VOCAB = 3;
const TINY = { vocab_size: VOCAB, eos_token_id: null, bos_token_id: null, n_embd: 8, hidden_size: 8 };
const device = createReferenceDevice();

/** Heads on a model with a vocabulary of 3. */
async function tiny(config: string) {
  const model = await smallModel({
    config: { ...smallConfigs[config]!, ...TINY },
    device,
    gain: 4,
  });
  return attachHeads(model, { exits: [1, 3], ahead: { rank: 2, candidates: 2 } });
}

/**
 * A sampler that follows a script of decisions, and after its end takes the first possibility every time. Per decision,
 * `taken` holds the index of the possibility that was taken and `widths` their number; `weight` is the probability of
 * all decisions together.
 */
function scripted(options: SamplingOptions, script: readonly number[]) {
  const taken: number[] = [];
  const widths: number[] = [];
  let weight = 1;
  const decide = (probabilities: readonly number[]) => {
    const possible = probabilities.flatMap((probability, i) => (probability > 0 ? [i] : []));
    const choice = script[taken.length] ?? 0;
    taken.push(choice);
    widths.push(possible.length);
    weight *= probabilities[possible[choice]!]!;
    return possible[choice]!;
  };
  const sampler: Sampler = {
    ...createSampler(options, createRng(0)),
    draw: (p) => decide(Array.from(p)),
    chance: (probability) => decide([1 - probability, probability]) === 1,
  };
  return { sampler, taken, widths, weight: () => weight };
}

/** The tokens whose distribution is computed: `count` of them after a prompt. */
interface Sampled {
  readonly prompt: readonly number[];
  readonly count: number;
  readonly options: SamplingOptions;
}

/** The decoder's exact distribution: plays every sequence of decisions once, weighted by its probability. */
async function enumerate({ model }: ExitHeads, decoder: Decoder, { prompt, count, options }: Sampled) {
  const outputs = new Map<string, number>();
  for (let script: number[] | undefined = []; script !== undefined;) {
    const { sampler, taken, widths, weight } = scripted(options, script);
    const sequence = new Sequence(model);
    sequence.append(...prompt);
    advance(model, [{ sequence, positions: sequence.pending(4).slice(0, -1) }], 4);
    while (sequence.length < prompt.length + count) {
      const [round] = await decoder.next([{ sequence, sampler, room: prompt.length + count - sequence.length }]);
      sequence.append(round!.tokens.at(-1)!.id);
    }
    const key = sequence.ids.slice(prompt.length).join(" ");
    outputs.set(key, (outputs.get(key) ?? 0) + weight());
    sequence.dispose();
    // The next script in order: the last decision with another possibility takes it.
    let last = taken.length - 1;
    while (last >= 0 && taken[last]! + 1 === widths[last]!) last--;
    script = last < 0 ? undefined : [...taken.slice(0, last), taken[last]! + 1];
  }
  return outputs;
}

/** The full model's distribution of the same tokens, by the chain rule. */
async function targetOf({ model }: ExitHeads, { prompt, count, options }: Sampled) {
  let outputs = new Map<string, number>([["", 1]]);
  for (let i = 0; i < count; i++) {
    const longer = new Map<string, number>();
    for (const [key, weight] of outputs) {
      const chosen = key === "" ? [] : key.split(" ").map(Number);
      const ids = [...prompt, ...chosen];
      const logits = await model.logits(ids);
      processedDistribution(logits.slice(-VOCAB), ids, checkSampling(options)).forEach((share, id) => {
        if (share > 0) longer.set(`${key} ${id}`.trim(), weight * share);
      });
    }
    outputs = longer;
  }
  return outputs;
}

/** The total variation distance. */
function distance(a: Map<string, number>, b: Map<string, number>) {
  const keys = new Set([...a.keys(), ...b.keys()]);
  let sum = 0;
  for (const key of keys) sum += Math.abs((a.get(key) ?? 0) - (b.get(key) ?? 0));
  return sum / 2;
}

/** Drafts so many tokens a round. */
const upTo = (limit: number) => (): DraftPlan => ({ more: (drafts) => drafts < limit, endRound: () => undefined });

/** A lossless decoder whose drafts `tamper` may change or drop. */
function decoderOf(
  heads: ExitHeads,
  policy: Policy,
  createPlan: () => DraftPlan,
  tamper: (token: ExitChoice) => ExitChoice[] = (token) => [token],
) {
  return losslessDecoder(heads.model, {
    planOf: createPlan,
    async propose(requests) {
      const drafts = new Map(await leaveEarly(heads, policy, requests));
      for (const [request, token] of [...drafts]) {
        drafts.delete(request);
        for (const changed of tamper(token)) drafts.set(request, changed);
      }
      return drafts;
    },
  });
}

describe("exact enumeration on a vocabulary of 3", () => {
  const samplings: SamplingOptions[] = [
    { temperature: 1 },
    { temperature: 0.7, topK: 2 },
    { temperature: 1.5, topP: 0.8 },
    { temperature: 1, minP: 0.3 },
    { temperature: 1.2, repetitionPenalty: 1.6 },
    { repetitionPenalty: 3 },
  ];
  const planned = (heads: ExitHeads) => () => draftPlan(4, [], countedCosts(heads));

  it("lossless sampling has the full model's distribution, for all processors, thresholds and lengths", async () => {
    for (const config of ["gpt2", "llama"]) {
      const heads = await tiny(config);
      for (const [i, options] of samplings.entries()) {
        const sampled = { prompt: [1, 2, 1, 2], count: 3, options };
        const target = await targetOf(heads, sampled);
        for (const thresholds of [
          ["always", "never"],
          [0.7, 0.9],
        ] as const) {
          const plans = [upTo(2), planned(heads), upTo(3)];
          const decoder = decoderOf(heads, createPolicy(heads, thresholds), plans[i % 3]!);
          expect(distance(await enumerate(heads, decoder, sampled), target)).toBeLessThan(1e-9);
        }
        const looking = createDecoder(heads, { lossless: { costs: freeRows } });
        expect(distance(await enumerate(heads, looking, sampled), target)).toBeLessThan(1e-9);
      }
    }
  });

  it.for<[string, (token: ExitChoice) => ExitChoice[]]>([
    [
      "whose decision to draft depends on the sampled token",
      (token) => [token].filter(({ id, distribution: q }) => q![id] === Math.max(...q!)),
    ],
    [
      "that reports another distribution than it sampled from",
      (token) => [{ ...token, distribution: token.distribution!.map((share) => 0.5 * share + 0.5 / VOCAB) }],
    ],
  ])("a drafter %s is detected", async ([, tamper]) => {
    const heads = await tiny("llama");
    const decoder = decoderOf(heads, createPolicy(heads, ["always", "never"]), upTo(2), tamper);
    const sampled = { prompt: [1, 2], count: 2, options: { temperature: 1 } };
    expect(distance(await enumerate(heads, decoder, sampled), await targetOf(heads, sampled))).toBeGreaterThan(0.01);
  });
});

it("chi-square on the embedded model: two tokens are distributed as the full model's (p > 1e-6)", async () => {
  const model = await readModel("models/sotu-6", {
    device: await createDevice("wasm"),
  });
  const heads = attachHeads(model, { exits: [3, 5] });
  const options = { temperature: 1, topK: 6 };
  const prompt = model.tokenizer.encode("The people of");
  const samples = 1200;
  const run = generateBatch(
    heads,
    times(samples, () => prompt),
    {
      ...options,
      policy: createPolicy(heads, [4.5, "always"]),
      lossless: { costs: freeRows },
      maxNewTokens: 2,
      stopAtEndOfText: false,
      batchSize: 100,
    },
  );
  for await (const token of run) expect(token.depth).toBeGreaterThan(0);
  const counts = new Map<string, number>();
  for (const { ids } of run.summaries) counts.set(ids.join(" "), (counts.get(ids.join(" ")) ?? 0) + 1);
  const { vocabSize } = model.config;
  let chi = 0;
  let cells = 0;
  const rest = { expected: 0, seen: 0 }; // pairs that are too rare for a cell of their own
  const add = (expected: number, seen: number) => {
    chi += (seen - expected) ** 2 / expected;
    cells++;
  };
  const lastRow = async (ids: readonly number[]) =>
    processedDistribution((await model.logits(ids)).slice(-vocabSize), ids, checkSampling(options));
  for (const [first, p1] of [...(await lastRow(prompt))].entries()) {
    if (p1 === 0) continue;
    for (const [second, p2] of (await lastRow([...prompt, first])).entries()) {
      if (p2 === 0) continue;
      const expected = samples * p1 * p2;
      const seen = counts.get(`${first} ${second}`) ?? 0;
      counts.delete(`${first} ${second}`);
      if (expected >= 8) {
        add(expected, seen);
      } else {
        rest.expected += expected;
        rest.seen += seen;
      }
    }
  }
  if (rest.expected > 0) add(rest.expected, rest.seen);
  expect(counts.size).toBe(0); // no pair that has probability 0 in the full model
  expect(sumOf(run.summaries, ({ accepted }) => accepted)).toBeGreaterThan(samples / 10);
  const degrees = cells - 1;
  // Wilson-Hilferty: the cube root of chi²/k is nearly normal; 4.75 standard deviations are a p-value of 1e-6.
  const z = (Math.cbrt(chi / degrees) - (1 - 2 / (9 * degrees))) / Math.sqrt(2 / (9 * degrees));
  expect(z).toBeLessThan(4.75);
  expect(degrees).toBeGreaterThan(10);
  await model.device.dispose();
});
