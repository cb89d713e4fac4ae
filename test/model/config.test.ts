/** Spellings of transformers 4 and 5 in config.json, and what holds for fields that it leaves out. */
import { readModelConfig } from "early-exits/model";
import { expect, it } from "vitest";
import { smallConfigs } from "../support/models.js";

const gemma = smallConfigs["gemma3_text"]!;
const types = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"];
const linear = { rope_type: "linear", factor: 8 };

it("describes the same blocks", () => {
  const four = readModelConfig({ ...gemma, rope_theta: 5e5, rope_local_base_freq: 2e4, rope_scaling: linear });
  const five = readModelConfig({
    ...gemma,
    layer_types: types,
    rope_parameters: {
      sliding_attention: { rope_type: "default", rope_theta: 2e4 },
      full_attention: { ...linear, rope_theta: 5e5 },
    },
  });
  expect(five.layers).toEqual(four.layers);
  expect(five.layers).toEqual(
    types.map((type) =>
      type === "full_attention"
        ? { rotary: { dim: 8, theta: 5e5, scaling: { ropeType: "linear", factor: 8 } } }
        : { rotary: { dim: 8, theta: 2e4 }, window: 3 },
    ),
  );
});

it("takes the defaults of transformers for what is left out; a window of null is none", () => {
  const { layers } = readModelConfig({ ...gemma, sliding_window: undefined });
  expect(layers!.map(({ window }) => window)).toEqual([4096, undefined, 4096, undefined]);
  expect(layers!.map(({ rotary }) => rotary?.theta)).toEqual([1e4, 1e6, 1e4, 1e6]);
  const mistral = smallConfigs["mistral"]!;
  expect(readModelConfig({ ...mistral, sliding_window: undefined }).window).toBe(4096);
  expect(readModelConfig({ ...mistral, sliding_window: null }).window).toBeUndefined();
  const every = readModelConfig({ ...smallConfigs["smollm3"], no_rope_layers: undefined }).layers!;
  expect(every.map(({ rotary }) => rotary !== undefined)).toEqual([true, true, true, false]);
});
