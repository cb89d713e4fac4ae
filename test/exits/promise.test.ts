/** The promise in the summary: certificates for other settings are refused, and what holds is said. */
import { createPolicy, generate, type GenerateOptions } from "early-exits";
import { PolicyError } from "early-exits/exits";
import { type SamplingOptions } from "early-exits/model";
import { expect, it } from "vitest";
import { certifiedPolicy } from "../support/certified.js";
import { finish } from "../support/lossless.js";
import { randomIds, smallHeads } from "../support/models.js";

const heads = await smallHeads({ exits: [1, 2], kind: "dense" }, { gain: 4 });

const sampled = { temperature: 0.9, topP: 0.9, repetitionPenalty: 1.2 } as const satisfies SamplingOptions;

const promiseOf = async (options: GenerateOptions) =>
  (await finish(generate(heads, randomIds(4, 59, 0), { maxNewTokens: 2, ...options }))).promise;

it("is the certificate's for the sampling settings that it is for, and refused for others", async () => {
  const greedy = await certifiedPolicy(heads, {});
  const warm = await certifiedPolicy(heads, sampled);
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
  const policy = await certifiedPolicy(heads, {});
  const none = (reason: string) => ({ kind: "none", reason });
  expect(await promiseOf({ policy, temperature: 1, allowUncertified: true })).toEqual(none("sampling"));
  expect(await promiseOf({ policy: createPolicy(heads, "never") })).toEqual(none("uncertified"));
  const observe = () => undefined;
  expect(await promiseOf({ policy, observer: { observe } })).toMatchObject({ kind: "certified" });
  expect(await promiseOf({ policy, observer: { observe, thresholds: () => [0.9, 0.9] } })).toEqual(none("observer"));
  const impossible = await certifiedPolicy(heads, {}, { impossible: true });
  expect(() => generate(heads, [1], { policy: impossible })).toThrow(/not even to run all blocks/);
  expect(await promiseOf({ policy: impossible, allowUncertified: true })).toEqual(none("impossible"));
});

it("says how many new tokens lie past the length that was judged, or past those judged of a text", async () => {
  for (const [length, newTokens, beyond] of [
    [6, 9, 0],
    [5, 9, 1],
    [3, 9, 2],
    [9, 1, 1],
  ] as const) {
    const policy = await certifiedPolicy(heads, {}, { length, newTokens });
    expect(await promiseOf({ policy })).toMatchObject({ kind: "certified", length, beyond });
  }
});

it("is the full model itself without exits, and in lossless decoding, which is never refused", async () => {
  expect(await promiseOf({})).toEqual({ kind: "plain" });
  expect(await promiseOf({ policy: await certifiedPolicy(heads, {}), lossless: true, temperature: 1 })).toEqual({
    kind: "lossless",
  });
});
