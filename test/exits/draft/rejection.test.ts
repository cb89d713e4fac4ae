/**
 * Lossless sampling has the full model's distribution: golden numbers, exact enumeration of every chance decision on
 * tiny vocabularies through the real decoder, and chi-square on the embedded model. Drafters that peek at their sample,
 * and other mutants, must fail.
 */
import { fileURLToPath } from "node:url";
import { fc, test } from "@fast-check/vitest";
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  generateBatch,
  type Policy,
  type SamplingOptions,
} from "early-exits";
import { createReferenceDevice, createRng } from "early-exits/tensor";
import { advance, processedDistribution, Sequence } from "early-exits/model";
import { createDevice, readModel } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { type ExitChoice, leaveEarly } from "../../../src/exits/decode/decode.js";
import { type DraftLengthOptions, draftPlans } from "../../../src/exits/draft/draft-length.js";
import { countedCosts } from "../../../src/exits/cost/unit-costs.js";
import { promptLookupDrafter } from "../../../src/exits/draft/prompt-lookup.js";
import { acceptance, residual } from "../../../src/exits/draft/rejection.js";
import { type Drafter, firstOf, losslessDecoder } from "../../../src/exits/draft/speculate.js";
import { createSampler, type Decoder, type Sampler } from "../../../src/model/decode/decoder.js";
import { checkSampling } from "../../../src/model/decode/sampling.js";
import { smallConfigs, smallModel } from "../../support/models.js";

describe("rejection", () => {
  const q = Float64Array.of(0.1, 0.6, 0.3);
  const p = Float64Array.of(0.5, 0.3, 0.2);
  const total = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

  it("golden: of draft [.1, .6, .3] for target [.5, .3, .2] .6 are accepted, the rest becomes token 0", () => {
    expect(total(q.map((share, x) => share * acceptance(p, q, x)))).toBeCloseTo(0.6, 15);
    expect(Array.from(residual(p, q))).toEqual([1, 0, 0]);
  });

  const distribution = fc
    .array(fc.integer({ min: 0, max: 20 }), { minLength: 5, maxLength: 5 })
    .filter((weights) => weights.some((weight) => weight > 0))
    .map((weights) => Float64Array.from(weights, (weight) => weight / weights.reduce((sum, value) => sum + value, 0)));
  test.prop([distribution, distribution])(
    "accepted drafts and replacements together are the target, whatever the draft",
    (target, draft) => {
      const rejected = 1 - total(draft.map((share, x) => (share === 0 ? 0 : share * acceptance(target, draft, x))));
      const replaced = residual(target, draft);
      target.forEach((share, x) =>
        expect((draft[x] === 0 ? 0 : draft[x]! * acceptance(target, draft, x)) + rejected * replaced[x]!).toBeCloseTo(
          share,
          12,
        ),
      );
    },
  );
});

const VOCAB = 3;
const device = createReferenceDevice();
const tiny = (config: string): Promise<ExitHeads> =>
  smallModel({
    config: { ...smallConfigs[config]!, vocab_size: VOCAB, eos_token_id: null, bos_token_id: null },
    device,
    gain: 4,
  }).then(async (model) => {
    const heads = attachHeads(model, { exits: [1, 3] });
    await heads.freeze();
    return heads;
  });

/**
 * A sampler that follows a script of decisions and goes on with the first ones possible; it notes what else was
 * possible.
 */
function scripted(
  options: SamplingOptions,
  script: readonly number[],
): { sampler: Sampler; taken: number[]; widths: number[]; weight: () => number } {
  const [taken, widths]: [number[], number[]] = [[], []];
  let weight = 1;
  const decide = (probabilities: readonly number[]): number => {
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

/**
 * The exact distribution of `count` tokens after a prompt: every sequence of decisions is played once, and weighs what
 * it is likely.
 */
async function enumerate(
  { model }: ExitHeads,
  decoder: Decoder,
  prompt: readonly number[],
  count: number,
  options: SamplingOptions,
): Promise<Map<string, number>> {
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
    // The next script in order: the last decision that had another way takes it.
    let last = taken.length - 1;
    while (last >= 0 && taken[last]! + 1 === widths[last]!) last--;
    script = last < 0 ? undefined : [...taken.slice(0, last), taken[last]! + 1];
  }
  return outputs;
}

/** The full model's distribution of the same tokens, by the chain rule. */
async function target(
  { model }: ExitHeads,
  prompt: readonly number[],
  count: number,
  options: SamplingOptions,
): Promise<Map<string, number>> {
  let outputs = new Map<string, number>([["", 1]]);
  for (let i = 0; i < count; i++) {
    const longer = new Map<string, number>();
    for (const [key, weight] of outputs) {
      const ids = [
        ...prompt,
        ...key
          .split(" ")
          .filter((id) => id !== "")
          .map(Number),
      ];
      const logits = await model.logits(ids);
      processedDistribution(logits.slice(-VOCAB), ids, checkSampling(options)).forEach((share, id) => {
        if (share > 0) longer.set(`${key} ${id}`.trim(), weight * share);
      });
    }
    outputs = longer;
  }
  return outputs;
}

const distance = (a: Map<string, number>, b: Map<string, number>): number =>
  [...new Set([...a.keys(), ...b.keys()])].reduce(
    (sum, key) => sum + Math.abs((a.get(key) ?? 0) - (b.get(key) ?? 0)),
    0,
  ) / 2;

/** A lossless decoder whose drafts may be tampered with on the way. */
function decoderOf(
  heads: ExitHeads,
  policy: Policy,
  length: DraftLengthOptions,
  tamper: (token: ExitChoice) => ExitChoice | undefined = (token) => token,
): Decoder {
  const drafter: Drafter = async (requests) =>
    (await leaveEarly(heads, policy, requests)).map((token) => token && tamper(token));
  return losslessDecoder(heads.model, drafter, draftPlans(4, countedCosts(heads.model.config, heads), length));
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
  const lengths: DraftLengthOptions[] = [
    { draftLimit: 2 },
    { draftLimit: "adaptive" },
    { draftLimit: 3, minProduct: 0.4 },
  ];

  it(
    "lossless sampling has the full model's distribution to the last digit, whatever the processors, " +
      "thresholds and draft lengths",
    { timeout: 60_000 },
    async () => {
      for (const config of ["gpt2", "llama"]) {
        const heads = await tiny(config);
        for (const [i, options] of samplings.entries()) {
          for (const thresholds of [
            ["always", "never"],
            [0.7, 0.9],
          ] as const) {
            const decoder = decoderOf(heads, createPolicy(heads, thresholds), lengths[i % 3]!);
            expect(
              distance(await enumerate(heads, decoder, [1, 2], 3, options), await target(heads, [1, 2], 3, options)),
            ).toBeLessThan(1e-9);
          }
        }
      }
    },
  );

  it(
    "with certain drafts too: looked up in the text, drawn and then passed off as certain (which costs " +
      "acceptance only), or looked up where there is something to find and drawn where not",
    async () => {
      const heads = await tiny("llama");
      const lookup = losslessDecoder(
        heads.model,
        promptLookupDrafter(),
        draftPlans(4, countedCosts(heads.model.config), { draftLimit: 2 }),
      );
      const certain = decoderOf(heads, createPolicy(heads, ["always", "never"]), { draftLimit: 2 }, (token) => ({
        ...token,
        distribution: undefined,
      }));
      const policy = createPolicy(heads, ["always", "never"]);
      const both = losslessDecoder(
        heads.model,
        firstOf(promptLookupDrafter(), (requests) => leaveEarly(heads, policy, requests)),
        draftPlans(4, countedCosts(heads.model.config, heads), { draftLimit: 2 }),
      );
      for (const decoder of [lookup, certain, both]) {
        expect(
          distance(
            await enumerate(heads, decoder, [1, 2, 1], 3, { temperature: 1 }),
            await target(heads, [1, 2, 1], 3, { temperature: 1 }),
          ),
        ).toBeLessThan(1e-9);
      }
    },
  );

  it.for<[string, (token: ExitChoice) => ExitChoice | undefined]>([
    [
      "whose decision to draft looks at the drawn token",
      (token) => (token.id === token.confidence.argmax ? token : undefined),
    ],
    [
      "that hands over another distribution than it drew from",
      (token) => ({ ...token, distribution: token.distribution!.map((share) => 0.5 * share + 0.5 / VOCAB) }),
    ],
  ])("a drafter %s is found out", async ([, tamper]) => {
    const heads = await tiny("llama");
    const decoder = decoderOf(heads, createPolicy(heads, ["always", "never"]), { draftLimit: 2 }, tamper);
    expect(
      distance(
        await enumerate(heads, decoder, [1, 2], 2, { temperature: 1 }),
        await target(heads, [1, 2], 2, { temperature: 1 }),
      ),
    ).toBeGreaterThan(0.01);
  });
});

it(
  "chi-square on the embedded model: the first two tokens are distributed as the full model's (p-value above 1e-6)",
  { timeout: 60_000 },
  async () => {
    const model = await readModel(fileURLToPath(new URL("../../../models/sotu-6", import.meta.url)), {
      device: await createDevice("wasm"),
    });
    const heads = attachHeads(model, { exits: [3, 5] });
    const options = { temperature: 1, topK: 6 };
    const prompt = model.tokenizer.encode("The people of");
    const samples = 1200;
    const run = generateBatch(
      heads,
      Array.from({ length: samples }, () => prompt),
      {
        ...options,
        policy: createPolicy(heads, [4.5, "always"]),
        lossless: { draftLimit: 2 },
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
    let restExpected = 0;
    let restSeen = 0;
    const add = (expected: number, seen: number): void => {
      chi += (seen - expected) ** 2 / expected;
      cells++;
    };
    const lastRow = async (ids: readonly number[]): Promise<Float64Array> =>
      processedDistribution((await model.logits(ids)).slice(-vocabSize), ids, checkSampling(options));
    for (const [first, p1] of [...(await lastRow(prompt))].entries()) {
      if (p1 === 0) continue;
      for (const [second, p2] of (await lastRow([...prompt, first])).entries()) {
        if (p2 === 0) continue;
        const expected = samples * p1 * p2;
        const seen = counts.get(`${first} ${second}`) ?? 0;
        counts.delete(`${first} ${second}`);
        if (expected >= 8) add(expected, seen);
        else [restExpected, restSeen] = [restExpected + expected, restSeen + seen];
      }
    }
    if (restExpected > 0) add(restExpected, restSeen);
    expect(counts.size).toBe(0); // nothing that the full model cannot say
    expect(run.summaries.reduce((sum, { accepted }) => sum + accepted, 0)).toBeGreaterThan(samples / 10);
    const degrees = cells - 1;
    // Wilson-Hilferty: the cube root of chi²/k is about normal; 4.75 standard deviations are a p-value of 1e-6.
    const z = (Math.cbrt(chi / degrees) - (1 - 2 / (9 * degrees))) / Math.sqrt(2 / (9 * degrees));
    expect(z).toBeLessThan(4.75);
    expect(degrees).toBeGreaterThan(10);
    await model.device.dispose();
  },
);
