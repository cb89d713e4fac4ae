/**
 * Learned keys and values, for the fill `project`: the fit is the least-squares one and starts from propagation; they
 * drift less than propagated ones, and are stored with the heads.
 */
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  fitProjections,
  generate,
  type Model,
  serializeHeads,
  trainHeads,
} from "early-exits";
import type { Tensor } from "early-exits/tensor";
import { deserializeHeads } from "../../../src/exits/heads/deserialize-heads.js";
import { measureDrift } from "../../../lab/drift.js";
import { expect, it } from "vitest";
import { keyValueOf } from "../../../src/model/block.js";
import { skippedLayers, unitGain, withoutGain } from "../../../src/exits/heads/projection.js";
import { scope } from "../../../src/tensor/tensor.js";
import { randomDocuments, randomIds, reread, smallHeads, smallModel } from "../../support/models.js";
import { device, documents, names, setup } from "./setup.js";
import { expectCode } from "../../support/expect-code.js";

it.each(names)(
  "%s: those of the first skipped block are the model's own; with a huge ridge they are propagation's",
  async (name) => {
    const { model, heads } = await setup(name);
    const shrunk = attachHeads(model, { exits: [1, 2, 3], kind: "linear" });
    await fitProjections(shrunk, documents, { sequenceLength: 32, ridge: 1e5, input: "both" });
    const statesOf = (seed: number) => model.forward(randomIds(1, 61, seed), { toDepth: 3, wanted: () => true });
    const one = statesOf(9);
    const two = statesOf(10);
    for (const [exit, depth] of [1, 2, 3].entries()) {
      const layers = skippedLayers(model.config, depth);
      if (layers.length === 0) {
        expect(heads.heads[exit]!.projection).toBeUndefined(); // the blocks above share theirs: nothing to learn
        continue;
      }
      const state = one.get(depth)!;
      const otherState = two.get(depth)!;
      const propagated = await propagatedKeyValues(model, layers, state);
      const fitted = await learnedKeyValues(heads, exit, state);
      const firstBlock = propagated.slice(0, propagated.length / layers.length);
      expect(farthest(fitted.subarray(0, firstBlock.length), firstBlock)).toBeLessThan(5e-5);
      // The bias is not shrunk, so a constant may remain; the difference between two states is propagation's.
      const otherPropagated = await propagatedKeyValues(model, layers, otherState);
      const shrunken = await learnedKeyValues(shrunk, exit, state);
      const otherShrunken = await learnedKeyValues(shrunk, exit, otherState);
      const difference = propagated.map((value, i) => value - otherPropagated[i]!);
      expect(
        farthest(
          shrunken.map((value, i) => value - otherShrunken[i]!),
          difference,
        ),
      ).toBeLessThan(5e-4);
    }
    shrunk.dispose();
  },
);

it.each(["gpt2", "gpt_neox, parallel", "llama", "gemma3_text", "olmo2", "smollm3"])(
  "%s: the fit is the least-squares one, so no small change of a weight lowers the penalised error",
  async (name) => {
    const { model, heads } = await setup(name);
    const head = heads.heads[1]!; // depth 2, skips blocks 2 and 3
    const { weight: w, bias: b, shape } = head.projection!;
    const [rows, columns] = shape;
    // Inputs and targets of all positions, from the model's own pass.
    const inputs: number[][] = [];
    const targets: number[][] = [];
    for (const document of documents) {
      const states = model.forward(document, { wanted: (depth) => depth === 2 || depth === 3 });
      const normed = await scope(() => withoutGain(model, states.get(2)!, unitGain(model))).read();
      const deep = await keyValueOf(states.get(3)!, model.weights.blocks[3]!, model.config).read();
      const width = rows / 2;
      document.forEach((_, t) => {
        inputs.push(Array.from(normed.slice(t * columns, (t + 1) * columns)));
        targets.push(Array.from(deep.slice(t * width, (t + 1) * width)));
      });
    }
    const errorOf = (row: number, at: number, change: number) => {
      const weights = Array.from(w.slice(row * columns, (row + 1) * columns));
      weights[at]! += change;
      return inputs.reduce((sum, x, t) => {
        const product = x.reduce((dot, value, c) => dot + value * weights[c]!, 0);
        return sum + (targets[t]![row - rows / 2]! - b[row]! - product) ** 2;
      }, 0);
    };
    const rowsOfBlock3 = [rows / 2, rows - 1];
    for (const row of rowsOfBlock3) {
      const best = errorOf(row, 0, 0);
      for (const c of [0, 7, columns - 1]) {
        for (const change of [-0.3, 0.3]) {
          expect(errorOf(row, c, change)).toBeGreaterThan(best);
        }
      }
    }
  },
);

it("drift less than those of the blocks' own weights on text like that of the fit, at the same cost", async () => {
  const { model, heads } = await setup("llama");
  const propagating = attachHeads(model, { exits: [1, 2], kind: "linear" });
  await fitProjections(propagating, documents, { sequenceLength: 32, ridge: 1e5 });
  const held = randomDocuments(6, 32, 900);
  const own = await measureDrift(propagating, held, { fill: "project", exit: 1 });
  const project = await measureDrift(heads, held, { fill: "project", exit: 1 });
  expect(project.kl).toBeLessThan(own.kl);
  expect(own.kl).toBeGreaterThan(0.001);
  expect(project.ledger.decode.multiplyAdds).toBe(own.ledger.decode.multiplyAdds);
});

it("are fitted on as many positions as were asked for, however short the texts are", async () => {
  const heads = await smallHeads();
  let batches = 0;
  await fitProjections(heads, documents, { positions: 512, onBatch: () => batches++ });
  expect(batches).toBe(2); // of 256 each
});

it("take half of the bytes where they are fitted as bfloat16", async () => {
  const model = await smallModel({ device });
  const sizes: number[] = [];
  for (const dtype of ["float32", "bfloat16"] as const) {
    const heads = attachHeads(model, { exits: [1], kind: "linear", dtype: "int8" });
    await fitProjections(heads, documents, { dtype, positions: 128 });
    const { again, weights } = await reread(heads);
    expect(await again.hash()).toBe(await heads.hash());
    expect(again.heads[0]!.projection!.weight).toEqual(heads.heads[0]!.projection!.weight);
    sizes.push(weights.length);
  }
  const values = 3 * 2 * 2 * 6 * 24; // three blocks, keys and values of two heads of six, from 24
  expect(Math.abs(sizes[0]! - sizes[1]! - 2 * values)).toBeLessThan(64); // headers differ a little
});

it("are saved with the heads, bit for bit, bound by the hash, and survive training", async () => {
  const model = await smallModel({ device });
  const heads = attachHeads(model, { exits: [1, 3], kind: "linear" });
  const before = await heads.hash();
  await fitProjections(heads, documents, { input: "both", positions: 128 });
  expect(await heads.hash()).not.toBe(before);
  await trainHeads(heads, documents, { steps: 1 });
  const { again, description, weights } = await reread(heads);
  expect(description).toMatchObject({ heads: [{ projection: "both" }, { projection: "both" }] });
  expect((await serializeHeads(again)).weights).toEqual(weights);
  expect(await again.hash()).toBe(await heads.hash());
  const policy = createPolicy(again, "always", { fill: "project" });
  for await (const token of generate(again, [1], { policy, maxNewTokens: 3 })) expect(token.depth).toBe(1);
  await expectCode(
    deserializeHeads(model, { ...description, heads: [{ depth: 1, kind: "linear", projection: "odd" }] }, weights),
    "heads-format",
  );
});

it("must be fitted before a policy may fill with them", async () => {
  const { model } = await setup("llama");
  const heads = attachHeads(model, { exits: [2] });
  const run = generate(heads, [1], { policy: createPolicy(heads, "always", { fill: "project" }) });
  await expectCode(run[Symbol.asyncIterator]().next(), "policy-fill");
});

/** The largest distance between values at the same place. */
function farthest(a: Float32Array, b: readonly number[]) {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** Keys and values of these blocks, computed by their own weights from one state. */
async function propagatedKeyValues(model: Model, layers: readonly number[], state: Tensor) {
  const all: number[] = [];
  for (const layer of layers) {
    all.push(...(await keyValueOf(state, model.weights.blocks[layer]!, model.config).read()));
  }
  return all;
}

/** Keys and values of all skipped blocks that an exit's learned map makes from one state. */
function learnedKeyValues(heads: ExitHeads, exit: number, state: Tensor) {
  return scope(() => heads.heads[exit]!.projection!.keyValues(state)).read();
}
