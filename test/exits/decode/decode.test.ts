/** Early-exit decoding: with exits off, the full model's output bit for bit; with exits on, each fill's invariant. */
import { between, casesHere, fc, test, threshold } from "../../support/property.js";
import { attachHeads, createPolicy, type FillName, generate } from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import { columns } from "../../../src/tensor/ops/select.js";
import { advance, Sequence, keyValueLayers } from "early-exits/model";
import { runTo } from "../../../src/model/advance.js";
import { describe, expect, it } from "vitest";
import { normHeads } from "../../../src/model/block.js";
import { plainDecoder } from "../../../src/model/decode/decoder.js";
import { earlyExitDecoder } from "../../../src/exits/decode/decode.js";
import { generated, nextToken, statesOf } from "../../support/generated.js";
import { expectInvariant } from "../../support/invariant.js";
import { giveProjections, once, randomIds, smallConfigs, smallHeads } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const device = createReferenceDevice();
const setup = once(async (name: string) => {
  const heads = await smallHeads({ exits: [1, 2, 3] }, { config: smallConfigs[name]! });
  await giveProjections(heads);
  return { model: heads.model, heads };
});

const names = Object.keys(smallConfigs);
const anyThreshold = threshold(4.2);
const anyThresholds = fc.tuple(anyThreshold, anyThreshold, anyThreshold);

test.prop([fc.constantFrom(...names), between(1, 20), fc.nat(), fc.constantFrom<FillName>("lazy", "project")], {
  numRuns: casesHere(60),
})(
  "exits off: tokens of thresholds that never fire, and the states that they are chosen from, are the plain model's",
  async (name, length, seed, fill) => {
    const { model, heads } = await setup(name);
    const prompt = randomIds(length, 61, seed);
    const plain = await statesOf(plainDecoder(model), model, prompt);
    // An entropy is never below 0.
    for (const never of ["never", -1] as const) {
      const policy = createPolicy(heads, never, { fill });
      expect(await statesOf(earlyExitDecoder(heads, policy), model, prompt)).toEqual(plain);
    }
    expect((await generated(heads, prompt)).ids.slice(0, 6)).toEqual(plain.ids.slice(length));
  },
);

describe("exits on", () => {
  test.prop([fc.constantFrom(...names), anyThresholds, between(1, 12), fc.nat()], {
    numRuns: casesHere(50),
  })(
    "lazy: after every token all keys, values and kept states are those of a fresh full pass on the same tokens",
    async (name, thresholds, length, seed) => {
      const { model, heads } = await setup(name);
      const sequence = new Sequence(model, 4);
      sequence.append(...randomIds(length, 61, seed));
      const decoder = earlyExitDecoder(heads, createPolicy(heads, thresholds));
      for (let i = 0; i < 6; i++) {
        const { id, depth } = await nextToken(decoder, sequence);
        expect(sequence.depthOf(sequence.length - 1)).toBe(depth);
        await expectInvariant(model, sequence);
        sequence.append(id);
      }
    },
  );

  test.prop([fc.constantFrom(...names), anyThresholds, fc.nat()], { numRuns: casesHere(30) })(
    "project: the missing keys and values of a position that left are made from its state, and it is complete",
    async (name, thresholds, seed) => {
      const { model, heads } = await setup(name);
      const sequence = new Sequence(model);
      sequence.append(...randomIds(1, 61, seed));
      const decoder = earlyExitDecoder(heads, createPolicy(heads, thresholds, { fill: "project" }));
      const { depth } = await nextToken(decoder, sequence);
      expect(sequence.depthOf(0)).toBe(4);
      // The position's state is the output of `depth` blocks on the same single token.
      const state = model.forward(sequence.ids, { toDepth: depth }).get(depth)!;
      const layers = keyValueLayers(model.config) - depth;
      if (layers <= 0) return;
      const made = heads.heads.find((head) => head.depth === depth)!.projection!.keyValues(state);
      for (let i = 0; i < layers; i++) {
        const layer = depth + i;
        const block = model.weights.blocks[layer]!;
        const width = made.size / layers / 2;
        const keyValue = columns(made, 2 * i * width, 2 * (i + 1) * width);
        const { keys, values } = await device.readCache(sequence.cache(layer), 0, 1);
        // position 0: the rotation is the identity
        expect(keys).toEqual(await normHeads(columns(keyValue, 0, width), block.keyNorm, model.config).read());
        expect(values).toEqual(await columns(keyValue, width, 2 * width).read());
      }
    },
  );

  test.prop([anyThresholds, between(1, 12), fc.nat()], { numRuns: casesHere(30) })(
    "shared: tokens, depths, keys and values are those of lazy filling, bit for bit, and no position stays pending",
    async (thresholds, length, seed) => {
      const { heads } = await setup("llama, shared keys and values");
      const run = async (fill: FillName) => {
        const sequence = new Sequence(heads.model);
        sequence.append(...randomIds(length, 61, seed));
        // The prefill, as generate does it.
        if (length > 1) advance(heads.model, [{ sequence, positions: sequence.pending(4).slice(0, -1) }], 4);
        const decoder = earlyExitDecoder(heads, createPolicy(heads, thresholds, { fill }));
        const chosen = [];
        for (let i = 0; i < 8; i++) {
          const choice = await nextToken(decoder, sequence);
          chosen.push(choice);
          if (fill === "shared") expect(sequence.pending(4)).toEqual([]);
          sequence.append(choice.id);
        }
        runTo(sequence, 4);
        return { chosen, caches: [0, 1, 2, 3].map((layer) => sequence.cache(layer)), length: sequence.length };
      };
      const lazy = await run("lazy");
      const shared = await run("shared");
      expect(shared.chosen).toEqual(lazy.chosen);
      for (const layer of [0, 1]) {
        expect(await device.readCache(shared.caches[layer]!, 0, shared.length)).toEqual(
          await device.readCache(lazy.caches[layer]!, 0, lazy.length),
        );
      }
      expect(lazy.caches[3]).toBe(lazy.caches[1]); // blocks 3 and 4 read what block 2 wrote
    },
  );

  it("shared is refused on a backbone whose blocks all make keys and values", async () => {
    const { heads } = await setup("llama");
    await expectCode(
      generated(heads, [1, 2], { policy: createPolicy(heads, "always", { fill: "shared" }) }),
      "fill-shared",
    );
  });
});

it("policies are refused unless they fit their heads", async () => {
  const { model, heads } = await setup("llama");
  expect(() => createPolicy(heads, [1, 2])).toThrow(/2 thresholds for 3 heads/);
  expect(() => createPolicy(heads, NaN)).toThrow(/exit 0/);
  expect(() => createPolicy(heads, 1, { score: "vibes" as "entropy" })).toThrow(
    /expected one of entropy, maxProb, margin, probGap/,
  );
  expect(() => createPolicy(heads, 1, { fill: "magic" as "lazy" })).toThrow(/choose one of lazy, project, shared/);
  expect(() => generate(model, [1], { policy: createPolicy(heads, 1) })).toThrow(/needs exit heads/);
  const other = attachHeads(model, { exits: [2] });
  const policy = createPolicy(heads, 1);
  await expectCode(generated(other, [1], { policy }), "policy-depths");
  const hash = "0".repeat(64);
  await expectCode(generated(heads, [1], { policy: { ...policy, modelHash: hash } }), "policy-model");
  await expectCode(generated(heads, [1], { policy: { ...policy, headsHash: hash } }), "policy-heads");
});
