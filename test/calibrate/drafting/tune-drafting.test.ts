/**
 * Drafting tuned on recordings: a replay is what decoding does, and the chosen setting costs no more than any that was
 * tried.
 */
import { fc, test } from "@fast-check/vitest";
import { attachHeads, createPolicy, type ExitHeads, generate, scoreNames, tuneDrafting } from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import { predictTime, type Threshold, type UnitCosts } from "early-exits/exits";
import {
  cheapestDrafting,
  draftingFrom,
  type DraftingRecords,
  playDrafting,
  recordDrafting,
} from "early-exits/calibrate";
import { beforeAll, describe, expect, it } from "vitest";
import { growingCosts } from "../../../src/exits/cost/unit-costs.js";
import { finish } from "../../support/lossless.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";

const prompts = [1, 3, 6, 9].map((length) => randomIds(length, 61, length));
const options = { maxNewTokens: 16, stopAtEndOfText: false };
const costs: UnitCosts = {
  block: [
    { rows: 1, cost: 1 },
    { rows: 2, cost: 1.1 },
    { rows: 3, cost: 1.6 },
  ],
  heads: [0.1, 0.2, 0.3],
  finalHead: growingCosts(2),
};
let heads: ExitHeads;
let records: DraftingRecords;
beforeAll(async () => {
  heads = attachHeads(await smallModel({ config: smallConfigs["llama"]!, device: createReferenceDevice(), gain: 2 }), {
    exits: [1, 2, 3],
  });
  records = await recordDrafting(heads, prompts, options);
});

/** Decodes every prompt and sums what happened. */
async function decode(policy: ReturnType<typeof createPolicy>, draftLimit: number) {
  const totals = { tokens: 0, rounds: 0, drafted: 0, accepted: 0, cost: 0 };
  for (const prompt of prompts) {
    const { newTokens, rounds, drafted, accepted, ledger } = await finish(
      generate(heads, prompt, { ...options, policy, lossless: { draftLimit } }),
    );
    totals.tokens += newTokens;
    totals.rounds += rounds;
    totals.drafted += drafted;
    totals.accepted += accepted;
    totals.cost += predictTime(ledger, { ...costs, fills: [] });
  }
  return totals;
}
const same = (played: ReturnType<typeof playDrafting>, real: Awaited<ReturnType<typeof decode>>): void => {
  const { cost, plainCost, ...counts } = played;
  const { cost: realCost, ...realCounts } = real;
  expect(counts).toEqual(realCounts);
  expect(cost).toBeCloseTo(realCost, 9);
  expect(plainCost).toBeCloseTo(real.tokens * (4 * 1 + 2), 9);
};
const threshold: fc.Arbitrary<Threshold> = fc.oneof(
  fc.constant<Threshold>("never"),
  fc.constant<Threshold>("always"),
  fc.double({ min: 0, max: 0.3, noNaN: true }),
);

describe("the replay of a recording", () => {
  test.prop([fc.tuple(threshold, threshold, threshold), fc.constantFrom(...scoreNames)], { numRuns: 25 })(
    "equals decoding, count for count, with one draft per round",
    async (thresholds, score) => {
      const policy = createPolicy(heads, thresholds, { score });
      same(playDrafting(records, policy, { draftLimit: 1, costs }), await decode(policy, 1));
    },
  );

  test.prop([fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 6 })], { numRuns: 15 })(
    "equals decoding with any number of drafts if one exit always drafts",
    async (exit, draftLimit) => {
      const policy = createPolicy(
        heads,
        [0, 1, 2].map((i) => (i === exit ? "always" : "never")),
      );
      same(playDrafting(records, policy, { draftLimit, costs }), await decode(policy, draftLimit));
    },
  );

  it("uses only texts with at least two new tokens", async () => {
    expect(records.starts).toEqual(prompts.map(({ length }) => length - 1));
    expect(records.documents.map(({ positions }, i) => positions - records.starts[i]!)).toEqual([16, 16, 16, 16]);
    const full = randomIds(heads.model.config.maxPositionEmbeddings, 61, 1); // room for one token only
    await expect(recordDrafting(heads, [full], options)).rejects.toMatchObject({ code: "prompt-empty" });
    expect((await recordDrafting(heads, [full.slice(1)], options)).documents[0]!.positions).toBe(full.length);
  });
});

describe("the replay of sampled text", () => {
  const sampling = { temperature: 0.9, topP: 0.95, minP: 0.01, repetitionPenalty: 1.1 };
  const many = Array.from({ length: 60 }, (_, i) => prompts[i % prompts.length]!);
  const policy = () => createPolicy(heads, ["never", "always", "never"]);

  it("accepts as often as decoding does, which differs from greedy decoding", async () => {
    const played = playDrafting(await recordDrafting(heads, many, { ...options, ...sampling, seed: 1 }), policy(), {
      draftLimit: 2,
      costs,
    });
    let drafted = 0;
    let accepted = 0;
    for (const [seed, prompt] of many.entries()) {
      const run = await finish(
        generate(heads, prompt, {
          ...options,
          ...sampling,
          seed: 1000 + seed,
          policy: policy(),
          lossless: { draftLimit: 2 },
        }),
      );
      drafted += run.drafted;
      accepted += run.accepted;
    }
    const real = accepted / drafted;
    // Approximate, because drafts of one round are not independent.
    const error = Math.sqrt(real * (1 - real) * (1 / drafted + 1 / played.drafted));
    expect(Math.abs(played.accepted / played.drafted - real)).toBeLessThan(4 * error);
    const greedy = playDrafting(records, policy(), { draftLimit: 2, costs });
    expect(Math.abs(greedy.accepted / greedy.drafted - real)).toBeGreaterThan(4 * error);
  });

  it("with a single candidate token equals that of greedy text", async () => {
    const of = async (given: object) =>
      (await recordDrafting(heads, prompts, { ...options, ...given })).documents.map(({ exits }, i) =>
        exits.map(({ agrees }) => agrees.slice(records.starts[i])),
      );
    expect(await of({ temperature: 1, topK: 1, seed: 3 })).toEqual(await of({}));
  });
});

describe("tuning", () => {
  it("costs no more than any fixed exit and length on the same texts, saves time, and is reproducible", async () => {
    const { policy, lossless, expected } = cheapestDrafting(heads, records, costs);
    for (const exit of [0, 1, 2]) {
      for (const draftLimit of [1, 2, 3, 4, 6, 8]) {
        const fixed = playDrafting(
          records,
          createPolicy(
            heads,
            [0, 1, 2].map((i) => (i === exit ? "always" : "never")),
          ),
          { draftLimit, costs },
        );
        expect(expected.cost).toBeLessThanOrEqual(fixed.cost / 0.99);
      }
    }
    expect(expected.cost).toBeLessThan(expected.plainCost);
    expect(playDrafting(records, policy, lossless)).toEqual(expected);
    expect(await tuneDrafting(heads, prompts, { ...options, costs })).toEqual({
      format: "early-exits/drafting",
      version: 1,
      policy,
      lossless,
      expected,
    });
  });

  it("drafts nothing if heads cost more than drafts save", () => {
    expect(cheapestDrafting(heads, records, { ...costs, heads: [50, 50, 50] }).lossless.draftLimit).toBe(0);
  });

  it("returns settings for generate that survive JSON, and malformed ones are rejected", async () => {
    const drafting = await tuneDrafting(heads, prompts, { ...options, costs, scores: ["margin"] });
    const read = draftingFrom(JSON.parse(JSON.stringify(drafting)))!;
    expect(read).toEqual(drafting);
    expect(read.policy.score).toBe("margin");
    const { ids, drafted } = await finish(
      generate(heads, prompts[2]!, { ...options, policy: read.policy, lossless: read.lossless }),
    );
    expect(ids).toEqual((await finish(generate(heads, prompts[2]!, options))).ids);
    expect(drafted).toBeGreaterThan(0);
    expect(draftingFrom(read.policy)).toBeUndefined();
    expect(() => draftingFrom({ ...read, version: 2 })).toThrow(/version 2/);
    expect(() => draftingFrom({ ...read, lossless: { ...read.lossless, costs: { ...costs, heads: [1] } } })).toThrow(
      /price/,
    );
    expect(() =>
      draftingFrom({ ...read, lossless: { ...read.lossless, acceptance: { rate: 1, exits: [[]] } } }),
    ).toThrow(/acceptance/);
    expect(() => draftingFrom({ ...read, policy: {} })).toThrow(/policy/);
  });
});
