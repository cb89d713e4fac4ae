/**
 * NaN, infinity and overflow are errors that name the block in which they began, however tokens are chosen; sound
 * models never raise one. `checkWeights` names the tensors that hold such values.
 */
import { attachHeads, createPolicy, type ExitHeads, type GenerateOptions, type Model } from "early-exits";
import { checkWeights, memorySource } from "early-exits/model";
import { measureDrift } from "../../../lab/drift.js";
import { describe, expect, it } from "vitest";
import { generated } from "../../support/generated.js";
import {
  damagedCheckpoint,
  damagedModel,
  damageHead,
  smallCheckpoint,
  smallConfigs,
  smallHeads,
} from "../../support/models.js";
import { devicesHere } from "../../support/devices.js";

const config = smallConfigs["llama"]!;
const { wasm, reference } = await devicesHere();

const run = (source: Model | ExitHeads, options: GenerateOptions = {}) =>
  generated(source, [1, 2, 5, 3], { maxNewTokens: 4, ...options });

it("measureDrift names the block in which numbers end", async () => {
  const heads = attachHeads(await damagedModel(wasm, "model.layers.2.mlp.down_proj.weight"), { exits: [2] });
  const measured = measureDrift(heads, [[1, 2, 5, 3]], { fill: "lazy", share: 0 });
  await expect(measured).rejects.toMatchObject({ code: "numerics-non-finite", details: { block: 3 } });
});

describe.each([
  ["wasm", wasm],
  ["reference", reference],
])("a damaged model on the %s device", (_, device) => {
  it.each([
    ["model.layers.2.mlp.down_proj.weight", NaN, 3],
    ["model.layers.0.self_attn.q_proj.weight", Infinity, 1],
    ["model.layers.3.input_layernorm.weight", NaN, 4],
    ["model.layers.1.mlp.up_proj.weight", 3e38, 2],
    ["model.norm.weight", NaN, null],
    ["lm_head.weight", Infinity, null],
  ])("with a bad value in %s (%d) says so, and where it began", async (name, value, block) => {
    const model = await damagedModel(device, name, value);
    for (const options of [{}, { temperature: 1 }, { temperature: 1, topK: 4 }]) {
      await expect(run(model, options)).rejects.toMatchObject({
        name: "NumericsError",
        code: "numerics-non-finite",
        // An overflow may need more than one block to reach infinity.
        details: value === 3e38 ? {} : { block },
      });
    }
    model.dispose();
  });
});

describe("decoding with exits", () => {
  it.each([
    ["lossy", { lossless: false }],
    ["lossless", { lossless: true }],
  ])("%s, raises the error in the exit or in the full model", async (_, { lossless }) => {
    for (const [name, block] of [
      ["model.layers.1.mlp.down_proj.weight", 2],
      ["model.layers.3.mlp.down_proj.weight", 4],
    ] as const) {
      const model = await damagedModel(wasm, name);
      const heads = attachHeads(model, { exits: [2], kind: "linear" });
      const policy = createPolicy(heads, [block === 2 ? "always" : "never"], { score: "margin" });
      await expect(run(heads, { policy, lossless })).rejects.toMatchObject({
        code: "numerics-non-finite",
        details: { block },
      });
      heads.dispose();
      model.dispose();
    }
  });

  it("names the exit if its head alone is damaged", async () => {
    const heads = await smallHeads({ exits: [2], kind: "dense" }, { config, device: wasm });
    damageHead(heads, 0);
    const policy = createPolicy(heads, ["always"], { score: "margin" });
    await expect(run(heads, { policy })).rejects.toThrow(/the logits of exit 0 .* all states up to block 2 are finite/);
    heads.dispose();
    heads.model.dispose();
  });
});

it("checkWeights names exactly the tensors that hold NaN or infinity, with the place of the first", async () => {
  expect(await checkWeights(memorySource(await smallCheckpoint(config)))).toEqual([]);
  const nan = await damagedCheckpoint("model.layers.2.mlp.down_proj.weight", NaN);
  expect(await checkWeights(memorySource(nan))).toEqual([
    { name: "model.layers.2.mlp.down_proj.weight", nan: 1, infinite: 0, first: 5 },
  ]);
  const infinite = await damagedCheckpoint("model.norm.weight", -Infinity);
  expect(await checkWeights(memorySource(infinite))).toEqual([
    { name: "model.norm.weight", nan: 0, infinite: 1, first: 5 },
  ]);
});
