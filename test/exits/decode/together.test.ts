/** Texts decoded together: rows that have left go on with those that have not, and no token changes by it. */
import { fc, test } from "@fast-check/vitest";
import { attachHeads, createPolicy, type ExitHeads, generate, generateBatch, type Policy } from "early-exits";
import type { Threshold } from "early-exits/exits";
import { Sequence } from "early-exits/model";
import { beforeAll, describe, expect, it } from "vitest";
import { createSampler } from "../../../src/model/decode/decoder.js";
import { earlyExitDecoder } from "../../../src/exits/decode/decode.js";
import { createRng } from "../../../src/tensor/rng.js";
import { randomIds, smallByteModel } from "../../support/models.js";

const MARGIN = 0.2;
let heads: ExitHeads;
beforeAll(async () => {
  heads = attachHeads(await smallByteModel(), { exits: [1, 2, 3] });
});

/** The depths of the last positions after one round for prompts of all lengths up to 8, and those of the tokens. */
async function depthsAfterRound(policy: Policy) {
  const requests = Array.from({ length: 8 }, (_, i) => {
    const sequence = new Sequence(heads.model);
    sequence.append(...randomIds(i + 1, 257, i));
    return { sequence, sampler: createSampler({}, createRng(0)), room: 1 };
  });
  const rounds = await earlyExitDecoder(heads, policy).next(requests);
  const run = requests.map(({ sequence }) => sequence.depthOf(sequence.length - 1));
  for (const { sequence } of requests) sequence.dispose();
  return { run, chosen: rounds.map(({ tokens }) => tokens[0]!.depth) };
}

describe("a round in which some leave", () => {
  it("takes all sequences through all blocks if one needs them", async () => {
    const { run, chosen } = await depthsAfterRound(createPolicy(heads, [MARGIN, MARGIN, MARGIN], { score: "margin" }));
    expect(new Set(chosen).size).toBeGreaterThan(1);
    expect(chosen).toContain(4);
    expect(run).toEqual(run.map(() => 4));
  });

  it("leaves them there if all leave at the first exit", async () => {
    const { run, chosen } = await depthsAfterRound(createPolicy(heads, ["always", "never", "never"], {}));
    expect([run, chosen]).toEqual([run.map(() => 1), run.map(() => 1)]);
  });
});

const threshold: fc.Arbitrary<Threshold> = fc.oneof(
  fc.constant<Threshold>("never"),
  fc.double({ min: 0, max: 1, noNaN: true }),
);

test.prop([fc.tuple(threshold, threshold, threshold), fc.integer({ min: 2, max: 5 })], {
  numRuns: 15,
})("texts together have the tokens, depths and scores of each alone", async (thresholds, count) => {
  const policy = createPolicy(heads, thresholds, { score: "margin", fill: "lazy" });
  const prompts = Array.from({ length: count }, (_, i) => randomIds(1 + 3 * i, 257, i));
  const settings = { policy, maxNewTokens: 8, stopAtEndOfText: false };
  const together: unknown[][] = prompts.map(() => []);
  for await (const token of generateBatch(heads, prompts, settings)) together[token.prompt]!.push(token);
  for (const [prompt, ids] of prompts.entries()) {
    const alone: unknown[] = [];
    for await (const token of generate(heads, ids, settings)) alone.push({ ...token, prompt });
    expect(together[prompt]).toEqual(alone);
  }
});
