/** Reports of loading, and scaled rotary positions as config.json states them. */
import { loadModel } from "early-exits";
import { allWeights, type LoadProgress, memorySource, readModelConfig } from "early-exits/model";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { hashCheckpoint } from "../../src/model/checkpoint.js";
import { rotaryFrequencies, RotaryTables } from "../../src/model/rotary.js";
import { smallCheckpoint, smallConfigs } from "../support/models.js";
import { sumOf, times } from "../support/lists.js";

it("reports how much of the weights has been read, up to all of them", async () => {
  const events: LoadProgress[] = [];
  const config = smallConfigs["gpt2"]!;
  const onProgress = (event: LoadProgress) => void events.push(event);
  const model = await loadModel(config, memorySource(await smallCheckpoint(config)), {
    device: createReferenceDevice(),
    onProgress,
  });
  const matrices = allWeights(model.weights).filter((weight) => weight !== model.weights.positionEmbedding);
  const total = sumOf(matrices, ({ shape }) => (shape.length === 2 ? shape[0]! * shape[1]! : 0));
  expect(events.at(-1)).toEqual({ done: total, total });
  expect(events.map(({ done }) => done)).toEqual(events.map(({ done }) => done).toSorted((a, b) => a - b));
  expect(events.length).toBeGreaterThan(4);
});

it("knows a model by hashes of 4 MiB at a time, as heads and certificates name it", async () => {
  const data = new Uint8Array(4 * 2 ** 20 + 4).fill(1, 4 * 2 ** 20, 4 * 2 ** 20 + 1);
  const source = {
    tensors: new Map([["w", { dtype: "U8", shape: [data.length] } as const]]),
    read: (_: string, begin: number, end: number) => Promise.resolve(data.subarray(begin, end)),
  };
  const expected = "7919ed7ce1adb7487c95633762c2e32568e160484d5e14fc9ec9c64d6d8b6540";
  expect(await hashCheckpoint(source, {})).toBe(expected);
});

describe("scaled rotary positions, against the definition of transformers worked out in Python", () => {
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 2048 };
  const rotaryOf = (fields: Readonly<Record<string, unknown>>) =>
    readModelConfig({ ...smallConfigs["llama"], hidden_size: 64, max_position_embeddings: 8192, ...fields });

  it("YaRN keeps high frequencies, divides low ones, and blends between", () => {
    const { rotary } = rotaryOf({ rope_scaling: yarn });
    const blended = [0.02569350598886808, 0.00625, 0.0013834964763236657];
    const expected = [1, 0.31622776601683794, 0.1, ...blended, 0.00025, 7.905694150420948e-5];
    rotaryFrequencies(rotary!).forEach((frequency, i) => expect(frequency).toBeCloseTo(expected[i]!, 15));
    expect(rotary!.scaling).toMatchObject({ attentionFactor: expect.closeTo(1.138629436111989, 12) as number });
  });

  it("LongRoPE divides frequencies one by one, within the original context", () => {
    const factors = times(8, (i) => 1 + i / 8);
    const { rotary, maxPositionEmbeddings } = rotaryOf({
      model_type: "phi3",
      max_position_embeddings: 131_072,
      original_max_position_embeddings: 4096,
      rope_scaling: { type: "longrope", short_factor: factors, long_factor: factors.map((factor) => 8 * factor) },
    });
    expect(maxPositionEmbeddings).toBe(4096);
    expect(rotary!.scaling).toMatchObject({ attentionFactor: expect.closeTo(1.1902380714238083, 12) as number });
    rotaryFrequencies(rotary!).forEach((frequency, i) =>
      expect(frequency).toBeCloseTo(10_000 ** (-i / 8) / factors[i]!, 15),
    );
  });

  it("the magnitude multiplies what is rotated, so it squares in the scores of attention", async () => {
    const device = createReferenceDevice();
    const scaling = {
      ropeType: "longrope",
      factors: [1, 1],
      attentionFactor: 1.5,
      originalMaxPositionEmbeddings: 8,
    } as const;
    const plain = new RotaryTables(device, { dim: 4, theta: 10_000 }).tables(4);
    const scaled = new RotaryTables(device, { dim: 4, theta: 10_000, scaling }).tables(4);
    for (const part of ["cos", "sin"] as const) {
      const values = await plain[part].read();
      (await scaled[part].read()).forEach((value, i) => expect(value).toBeCloseTo(1.5 * values[i]!, 6));
    }
  });
});
