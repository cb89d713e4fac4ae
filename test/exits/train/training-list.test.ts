/** Training on a list of tokens and one bucket for the rest: the teacher's buckets, and gradients by differences. */
import { createReferenceDevice, createRng, Tensor } from "early-exits/tensor";
import { recordStates, headLoss } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { trainingList } from "../../../src/exits/train/training-list.js";
import { outcomeOf } from "../../../src/exits/states/record-states.js";
import { checkGradients, drawValues } from "../../support/gradients.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";
import { sumOf, times } from "../../support/lists.js";

const ids = [2, 3, 5, 8, 13, 21, 34, 55];
const V = 61;

/** A model, a text with its recorded final states, and the model's own logits after each token. */
async function taught(name: string, length: number) {
  const model = await smallModel({ gain: 3, config: smallConfigs[name]! });
  const tokens = randomIds(length, V, 4);
  const { final, argmax, logSumExp } = await recordStates(model, [{ ids: tokens, from: 0 }], []);
  const states = Tensor.from(model.device, final, [length, model.config.hiddenSize]);
  return { model, states, recorded: { argmax, logSumExp }, logits: await model.logits(tokens) };
}

describe("the teacher of a list", () => {
  it.each(["llama", "phi"])(
    "gives the listed tokens their probabilities, and the rest what is left, with or without a bias: %s",
    async (name) => {
      const { model, states, recorded, logits } = await taught(name, 12);
      const list = await trainingList(model, ids);
      const teacher = await list.teacher(states, recorded);
      const buckets = await teacher.logits.read();
      for (let r = 0; r < 12; r++) {
        const full = Array.from(logits.subarray(r * V, (r + 1) * V), Math.exp);
        const total = sumOf(full);
        const own = Array.from(buckets.subarray(r * 9, (r + 1) * 9), Math.exp);
        const all = sumOf(own);
        const expected = ids.map((id) => full[id]! / total);
        ids.forEach((_, i) => expect(own[i]! / all).toBeCloseTo(expected[i]!, 5));
        expect(own[8]! / all).toBeCloseTo(1 - sumOf(expected), 5);
        const best = full.indexOf(Math.max(...full));
        expect(teacher.argmax[r]).toBe(ids.includes(best) ? ids.indexOf(best) : 8);
      }
    },
  );

  it("draws unlisted tokens, the wanted ones first, and gives them their probabilities too", async () => {
    const { model, states, recorded, logits } = await taught("phi", 6);
    const list = await trainingList(model, ids, { drawn: 7 });
    const first = [...list.ids];
    expect(new Set(first).size).toBe(15);
    await list.redraw(createRng(1), [2, 40, 41]);
    expect(list.ids.slice(0, 10)).toEqual([...ids, 40, 41]);
    expect(list.ids).not.toEqual(first);
    const buckets = await (await list.teacher(states, recorded)).logits.read();
    for (let r = 0; r < 6; r++) {
      list.ids.forEach((id, i) => expect(buckets[r * 16 + i]).toBeCloseTo(logits[r * V + id]!, 4));
      const rest = times(V, (id) => id).filter((id) => !list.ids.includes(id));
      const sum = sumOf(rest, (id) => Math.exp(logits[r * V + id]! - recorded.logSumExp[r]!));
      expect(Math.exp(buckets[r * 16 + 15]! - recorded.logSumExp[r]!)).toBeCloseTo(sum, 5);
    }
  });

  it("never agrees by choosing the rest", async () => {
    const list = await trainingList(await smallModel(), ids);
    expect([list.agrees(3, 3), list.agrees(3, 2), list.agrees(8, 8)]).toEqual([true, false, false]);
  });
});

it("the loss on a list has the gradients of finite differences in vector, the rest's row and its bias", async () => {
  const device = createReferenceDevice({ float64: true });
  const model = await smallModel({ device, gain: 2 });
  const C = model.config.hiddenSize;
  const list = await trainingList(model, ids);
  const states = Tensor.from(device, drawValues(4, 3 * C), [3, C]);
  const teacher = await list.teacher(states, await outcomeOf(model, states));
  checkGradients({
    seed: 3,
    device,
    fifthDerivative: 2 ** 20, // a composition: no derivation, still 1e-6 of the sum of the weights
    inputs: { h: [3, C], row: [1, C], bias: [1] },
    op: ({ h, row, bias }) => headLoss(teacher, list.logits(h, { row, bias }), { kind: "kl", temperature: 0.8 }),
  });
});
