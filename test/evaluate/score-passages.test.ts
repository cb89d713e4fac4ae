/**
 * Likelihood through exits: exits off equals the full model by brute force, "never" equals exits off bit for bit, and a
 * policy does to given tokens what it does when it generates them.
 */
import { fc, real, test } from "../support/property.js";
import { createPolicy, type ExitHeads, type FillName, fitProjections, type Policy, scoreNames } from "early-exits";
import { confidenceAt, scoreOf, type Threshold } from "early-exits/exits";
import { recordDocuments } from "early-exits/calibrate";
import { Sequence } from "early-exits/model";
import { runTo } from "../../src/model/advance.js";
import { describe, expect, it } from "vitest";
import { scorePassages } from "../../src/evaluate/score-passages.js";
import { earlyExitDecoder } from "../../src/exits/decode/decode.js";
import { generated, nextToken } from "../support/generated.js";
import {
  type AskedHeads,
  askedHeads,
  attachOptionsOf,
  hasScore,
  once,
  randomDocuments,
  randomIds,
  smallConfigs,
  smallHeads,
  smallModel,
} from "../support/models.js";
import { devicesHere } from "../support/devices.js";
import { sumOf, times } from "../support/lists.js";

const VOCAB = 61;
const { wasm } = await devicesHere();

const dense = askedHeads[0]!;
const listed = askedHeads[3]!;

/** A pair of a map and a vocabulary, and a score that such heads have. */
const pairAndScore = fc
  .tuple(fc.constantFrom(...askedHeads), fc.constantFrom(...scoreNames))
  .map(([pair, score]) => ({ pair, score: hasScore(pair, score) ? score : ("margin" as const) }));

/** Heads after blocks 1 to 3 of 4. */
const setups = once(async ([config, pair]: readonly [string, AskedHeads]) => {
  const heads = await smallHeads(
    { exits: [1, 2, 3], ...attachOptionsOf(pair) },
    { config: smallConfigs[config]!, device: wasm },
  );
  const documents = randomDocuments(8, 24, 100);
  await fitProjections(heads, documents, { sequenceLength: 24 });
  return heads;
});
const headsOf = (config: string, pair = dense) => setups([config, pair]);

/** Random passages of several lengths, two of them with the same context. */
const passages = [
  [3, 5],
  [1, 1],
  [9, 4],
  [9, 7],
  [12, 2],
].map(([before, after], i) => ({
  context: randomIds(before!, VOCAB, before!),
  continuation: randomIds(after!, VOCAB, 50 + i),
}));

/** log softmax in float64 of row t of logits [T, V]. */
function logSoftmax(logits: Float32Array, t: number) {
  const row = Float64Array.from(logits.subarray(t * VOCAB, (t + 1) * VOCAB));
  const max = Math.max(...row);
  const sum = sumOf(row, (z) => Math.exp(z - max));
  return row.map((z) => z - max - Math.log(sum));
}
const argmax = (row: Float64Array) => row.indexOf(Math.max(...row));

it.each(["gpt2", "gpt_neox, parallel", "llama", "llama, shared keys and values"])(
  "exits off %s gives the log-softmax of a whole forward pass per passage",
  async (config) => {
    const model = await smallModel({ config: smallConfigs[config]! });
    const [scored] = await scorePassages(model, passages);
    for (const [i, { context, continuation }] of passages.entries()) {
      const logits = await model.logits([...context, ...continuation]);
      continuation.forEach((id, t) => {
        const row = logSoftmax(logits, context.length + t - 1);
        const { logLikelihood, choice, depth } = scored![i]![t]!;
        expect(Math.abs(logLikelihood - row[id]!)).toBeLessThan(1e-5);
        expect([choice, depth]).toEqual([argmax(row), 4]);
      });
    }
  },
);

describe("policies", () => {
  const exact = ["lazy", "shared"] as const satisfies readonly FillName[];
  const shared = "llama, shared keys and values";
  const threshold: fc.Arbitrary<Threshold> = fc.oneof(fc.constantFrom<Threshold>("never", "always"), real(0, 1));
  const fill = fc.constantFrom<FillName>("lazy", "project", "shared");

  test.prop([pairAndScore, fill], {
    numRuns: 30,
  })("that never exit equal exits off, bit for bit", async ({ pair, score }, fill) => {
    const heads = await headsOf(shared, pair);
    const policy = createPolicy(heads, "never", { fill, score });
    const [off, never] = await scorePassages(heads, passages, [policy]);
    expect(never).toEqual(off);
  });

  test.prop([pairAndScore, fc.tuple(threshold, threshold, threshold)], { numRuns: 30 })(
    "evaluated on one recorded pass choose the decoder's tokens at its depths, for all exact fills",
    async ({ pair, score }, thresholds) => {
      const heads = await headsOf(shared, pair);
      const policies = exact.map((fill) => createPolicy(heads, thresholds, { score, fill }));
      const [, lazy, other] = await scorePassages(heads, passages, policies);
      expect(other).toEqual(lazy);
      const chosen = lazy!.map((tokens) => tokens.map(({ choice, depth }) => ({ choice, depth })));
      for (const policy of policies) expect(await decoded(heads, policy)).toEqual(chosen);
    },
  );

  /** The decoder's choices after every prefix of the passages. */
  const decoded = async (heads: ExitHeads, policy: Policy) => {
    const decoder = earlyExitDecoder(heads, policy);
    const scored = [];
    for (const { context, continuation } of passages) {
      const sequence = new Sequence(heads.model);
      const { numLayers } = heads.model.config;
      sequence.append(...context.slice(0, -1));
      runTo(sequence, numLayers);
      const tokens = [];
      for (const id of [context.at(-1)!, ...continuation.slice(0, -1)]) {
        sequence.append(id);
        const { id: choice, depth } = await nextToken(decoder, sequence);
        tokens.push({ choice, depth });
      }
      sequence.dispose();
      scored.push(tokens);
    }
    return scored;
  };

  it("take the distribution of the head that leaves", async () => {
    const heads = await headsOf("gpt2");
    const [, first, third] = await scorePassages(heads, passages, [
      createPolicy(heads, ["always", "never", "never"]),
      createPolicy(heads, ["never", "never", "always"], { score: "margin" }),
    ]);
    const { context, continuation } = passages[2]!;
    const states = heads.model.forward([...context, ...continuation], { wanted: () => true });
    for (const [way, depth] of [
      [first!, 1],
      [third!, 3],
    ] as const) {
      // A new dense head applies the model's own final norm and unembedding to an earlier state.
      const logits = await heads.model.unembed(states.get(depth)!).read();
      continuation.forEach((id, t) => {
        const row = logSoftmax(logits, context.length + t - 1);
        expect(way[2]![t]!.depth).toBe(depth);
        expect(Math.abs(way[2]![t]!.logLikelihood - row[id]!)).toBeLessThan(1e-4);
        expect(way[2]![t]!.choice).toBe(argmax(row));
      });
    }
  });

  it("of heads that rank a list give all tokens together a probability of 1", async () => {
    const heads = await headsOf("llama", listed);
    const every = times(VOCAB, (id) => ({ context: passages[0]!.context, continuation: [id] }));
    const [, scored] = await scorePassages(heads, every, [
      createPolicy(heads, ["always", "never", "never"], { score: "margin" }),
    ]);
    expect(sumOf(scored!, ([token]) => Math.exp(token!.logLikelihood))).toBeCloseTo(1, 5);
  });

  /** Per exit, a threshold on maxProb that about a third of a text's tokens reach. */
  const someLeave = async (heads: ExitHeads) => {
    const { documents } = await recordDocuments(heads, [randomIds(64, VOCAB, 3)]);
    return documents[0]!.exits.map(
      ({ stats }) => times(64, (t) => scoreOf(confidenceAt(stats, t), "maxProb")).sort((a, b) => a - b)[40]!,
    );
  };

  it.each<[FillName, string]>([
    ["lazy", "llama"],
    ["project", "llama"],
    ["project", "gpt2"],
    ["project", "gpt_neox, parallel"],
    ["shared", shared],
  ])("with fill %s (%s) do to given tokens what they do when they generate them", async (fill, config) => {
    const heads = await headsOf(config);
    const { numLayers } = heads.model.config;
    const policy = createPolicy(heads, await someLeave(heads), {
      score: "maxProb",
      fill,
    });
    const { tokens } = await generated(heads, passages[2]!.context, { policy, maxNewTokens: 24 });
    const [, scored] = await scorePassages(
      heads,
      [{ context: passages[2]!.context, continuation: tokens.map(({ id }) => id) }, passages[0]!],
      [policy],
    );
    expect(scored![0]!.map(({ choice, depth }) => ({ id: choice, depth }))).toEqual(
      tokens.map(({ id, depth }) => ({ id, depth })),
    );
    expect(new Set(tokens.map(({ depth }) => depth)).size).toBeGreaterThan(1);
    // Under maxProb, the score that a token left with is its likelihood, computed another way.
    tokens.forEach(({ score, depth }, t) => {
      if (depth < numLayers) expect(Math.abs(scored![0]![t]!.logLikelihood - Math.log(score!))).toBeLessThan(1e-5);
    });
  });
});

it("gives back the memory that it takes", async () => {
  const heads = await smallHeads({ exits: [2] }, { device: wasm });
  const passages = [{ context: [1, 2], continuation: [3, 4] }];
  const policies = [createPolicy(heads, 1)];
  await scorePassages(heads, passages, policies);
  const { used } = heads.model.device.memory!();
  await scorePassages(heads, passages, policies);
  expect(heads.model.device.memory!().used).toBe(used);
});
