/** A model's memory is known before it is read. A model that leaves no room for a text is refused. */
import { loadModel } from "early-exits";
import { allWeights, memoryNeeds, readModelConfig, storedBytes } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { expect, it } from "vitest";
import { weightDtypes } from "../../src/tensor/device.js";
import { expectCode } from "../support/expect-code.js";
import { sharedWasm } from "../support/devices.js";
import { sumOf, times } from "../support/lists.js";
import { smallConfigs, smallModel } from "../support/models.js";

it.each(Object.entries(smallConfigs))("%s: weights report the bytes that were planned", async (name, config) => {
  for (const dtype of weightDtypes) {
    const model = await smallModel({ config, dtype, device: await sharedWasm() });
    expect(memoryNeeds(model.config).weights[dtype]).toBe(sumOf(allWeights(model.weights), storedBytes));
    const others = /gpt|gelu|qwen3|gemma|olmo|phi$/.test(name);
    for (const block of model.packedBlocks) expect(block === undefined).toBe(others);
    model.dispose();
  }
});

it("a model too large for the device is refused before any of it is read, with what would fit", async () => {
  const shape = { hidden_size: 2048, num_hidden_layers: 16, intermediate_size: 8192, vocab_size: 128_256 };
  const config = { ...smallConfigs["llama"], ...shape, max_position_embeddings: 2048, tie_word_embeddings: true };
  const { weights, perToken } = memoryNeeds(readModelConfig(config));
  const device = await createDevice("wasm", { memoryLimit: weights.bfloat16 + 200 * perToken.float32 });
  const { used } = device.memory!();
  const source = {
    // As many and as large as the configuration asks for; their names do not matter before they are read.
    tensors: new Map(times(160, (i) => [`${i}`, { dtype: "BF16" as const, shape: [128_256, 2048] }])),
    read: () => Promise.reject(new Error("read")),
  };
  const load = (changed: object, kvCache: "float32" | "int8" = "float32") =>
    loadModel({ ...config, ...changed }, source, { device, dtype: "bfloat16", kvCache });
  await expectCode(
    load({}),
    "model-too-large",
    "loadModel: the weights take 2.5 GB as bfloat16, and each token's keys and values 131.1 kB as float32; the " +
      'wasm device has room for 2.6 GB, so for texts of 177 tokens; load it with dtype: "int8" (1.4 GB, texts of up ' +
      'to 2048 tokens) or "int4" (0.9 GB, texts of up to 2048 tokens)',
  );
  await expect(load({ num_hidden_layers: 160 })).rejects.toThrow(/texts of 0 tokens; use a smaller model$/);
  await expectCode(load({}, "int8"), "tensor-missing"); // it fits, so it is read
  expect(device.memory!().used).toBe(used);
  await device.dispose();
});
