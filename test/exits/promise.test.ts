/** The promise in the summary: certificates for other settings are refused, and what holds is said. */
import { attachHeads, createPolicy, type ExitHeads, generate, type GenerateOptions, type Policy } from "early-exits";
import type { CertifiedFor } from "../../src/exits/plan/policy.js";
import { PolicyError } from "early-exits/exits";
import type { SamplingOptions } from "early-exits/model";
import { beforeAll, describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../support/models.js";
import { canonicalSampling } from "../../src/model/decode/sampling.js";

let heads: ExitHeads;
let checkpoint: string;
beforeAll(async () => {
  const model = await smallModel({ gain: 4 });
  heads = attachHeads(model, { exits: [1, 2], kind: "dense" });
  checkpoint = await model.hash();
});

/** A policy with a certificate that is made up. */
function certified(sampling: SamplingOptions, more: Partial<CertifiedFor> = {}): Policy {
  const policy = createPolicy(heads, [0.04, 0.04], { score: "maxProb" });
  return {
    ...policy,
    certified: {
      sampling: canonicalSampling(sampling),
      reference: { kind: "same", dtype: "float32", checkpoint },
      loss: "token",
      agreement: 0.95,
      score: policy.score,
      thresholds: policy.exits.map(({ threshold }) => threshold),
      fill: policy.fill,
      dtype: "float32",
      ...more,
    },
  };
}

const sampled = { temperature: 0.9, topP: 0.9, repetitionPenalty: 1.2 } as const satisfies SamplingOptions;

describe("the promise", () => {
  const promiseOf = async (options: GenerateOptions) => {
    const run = generate(heads, randomIds(4, 59, 0), { maxNewTokens: 2, ...options });
    for await (const token of run) expect(token.prompt).toBe(0);
    return run.summary.promise;
  };

  it("is the certificate's for the sampling settings that it is for, and refused for others", async () => {
    const greedy = certified({});
    const warm = certified(sampled);
    expect(await promiseOf({ policy: greedy, topP: 0.5 })).toMatchObject({ kind: "certified", agreement: 0.95 });
    expect(await promiseOf({ policy: warm, ...sampled })).toMatchObject({ kind: "certified" });
    expect(() => generate(heads, [1], { policy: greedy, temperature: 1 })).toThrow(PolicyError);
    expect(() => generate(heads, [1], { policy: greedy, temperature: 0.8, topP: 0.95 })).toThrow(
      /early-exits calibrate --temperature 0.8 --top-p 0.95.*allowUncertified/,
    );
    expect(() => generate(heads, [1], { policy: warm })).toThrow(/greedy/);
    expect(() => generate(heads, [1], { policy: warm, ...sampled, topP: 0.91 })).toThrow(PolicyError);
  });

  it("is none without a certificate for it, if an observer sets thresholds, or if none can be", async () => {
    const policy = certified({});
    const none = (reason: string) => ({ kind: "none", reason });
    expect(await promiseOf({ policy, temperature: 1, allowUncertified: true })).toEqual(none("sampling"));
    expect(await promiseOf({ policy: createPolicy(heads, "never") })).toEqual(none("uncertified"));
    const observe = (): void => undefined;
    expect(await promiseOf({ policy, observer: { observe } })).toMatchObject({ kind: "certified" });
    expect(await promiseOf({ policy, observer: { observe, thresholds: () => [0.9, 0.9] } })).toEqual(none("observer"));
    const impossible = certified({}, { impossible: true });
    expect(() => generate(heads, [1], { policy: impossible })).toThrow(/not even to run all blocks/);
    expect(await promiseOf({ policy: impossible, allowUncertified: true })).toEqual(none("impossible"));
  });

  it("is the full model itself without exits, and in lossless decoding, which is never refused", async () => {
    expect(await promiseOf({})).toEqual({ kind: "plain" });
    expect(await promiseOf({ policy: certified({}), lossless: true, temperature: 1 })).toEqual({ kind: "lossless" });
  });
});
