/** A batch is computed in parts: together they are the batch. */
import { between, test } from "../../support/property.js";
import { attachHeads, trainHeads, type TrainStep } from "early-exits";
import { createReferenceDevice, Tensor } from "early-exits/tensor";
import { expect, it } from "vitest";
import { byParts } from "../../../src/exits/states/by-parts.js";
import { rowsPerTurn } from "../../../src/turns.js";
import { sharedWasm } from "../../support/devices.js";
import { randomDocuments, smallConfigs, smallModel } from "../../support/models.js";

const reference = createReferenceDevice();

test.prop([between(1, 40), between(1, 12), between(24, 40)])(
  "parts hold every row once, in order, and none is larger than asked for",
  async (rows, most, bits) => {
    const values = Float32Array.from({ length: 3 * rows }, (_, i) => i);
    const states = Tensor.from(reference, values, [rows, 3]);
    const found: number[] = [];
    const begins = await byParts(states, { multiplyAdds: 2 ** bits, most }, async (part, begin) => {
      expect(part.shape[0]).toBeLessThanOrEqual(Math.min(most, rowsPerTurn(2 ** bits)));
      expect(begin * 3).toBe(found.length);
      found.push(...(await part.read()));
      return begin;
    });
    expect(found).toEqual([...values]);
    expect(begins).toEqual([...begins].sort((a, b) => a - b));
    states.dispose();
  },
);

it("a step over many parts has the mean loss and agreement of its windows", async () => {
  const [vocabSize, hiddenSize] = [3000, 256];
  const shape = { vocab_size: vocabSize, hidden_size: hiddenSize, num_hidden_layers: 2, tie_word_embeddings: true };
  const config = { ...smallConfigs["llama"]!, ...shape };
  const model = await smallModel({ device: await sharedWasm(), config, gain: 1 });
  const documents = randomDocuments(12, 64, 0, vocabSize);
  const firstStep = async (windows: readonly (readonly number[])[]) => {
    const heads = attachHeads(model, { exits: [1], kind: "linear" });
    const batch = { steps: 1, batchSize: windows.length, sequenceLength: 64 };
    const { last } = await trainHeads(heads, windows, batch);
    heads.dispose();
    return last!;
  };
  const together = await firstStep(documents);
  expect(documents.length * 64).toBeGreaterThan(rowsPerTurn(vocabSize * hiddenSize));
  const apart: TrainStep[] = [];
  for (const document of documents) apart.push(await firstStep([document]));
  const meanOf = (of: (step: TrainStep) => number) => apart.reduce((sum, step) => sum + of(step), 0) / apart.length;
  // Sums of a few hundred float32 numbers, grouped otherwise.
  expect(Math.abs(together.loss / meanOf(({ loss }) => loss) - 1)).toBeLessThan(768 * 2 ** -23);
  expect(together.agreement[0]).toBeCloseTo(
    meanOf(({ agreement }) => agreement[0]!),
    12,
  );
  model.dispose();
});
