/**
 * Heads, certificates and lossless decoding on every family: a model with random weights on the CPU device, whose heads
 * learn to predict it, are calibrated on other text, and draft for it.
 */
import { attachHeads, calibrate, createPolicy, generate, trainHeads, verifyCertificate } from "early-exits";
import { createDevice } from "early-exits/node";
import { mean } from "d3-array";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/tensor/device.js";
import { randomIds, smallConfigs, smallModel } from "../support/models.js";

const documents = Array.from({ length: 60 }, (_, i) => randomIds(32, 59, 200 + i));
let device: Device;
beforeAll(async () => {
  device = await createDevice("wasm");
});
afterAll(() => device.dispose());

describe.each(["gemma3_text", "mistral", "olmo2", "phi", "phi3", "qwen3", "smollm3"])("%s", (name) => {
  it(
    "heads learn, get a certificate that verifies, and draft without changing a token",
    { timeout: 60_000 },
    async () => {
      const model = await smallModel({ config: smallConfigs[name]!, device, gain: 4 });
      const heads = attachHeads(model, { exits: [2, 3], kind: "dense" });
      const losses: number[] = [];
      await trainHeads(heads, documents.slice(0, 40), {
        steps: 40,
        batchSize: 8,
        sequenceLength: 32,
        learningRate: 1e-2,
        onStep: ({ loss }) => void losses.push(loss),
      });
      expect(mean(losses.slice(-5))!).toBeLessThan(mean(losses.slice(0, 5))!);

      const held = documents.slice(40);
      const { certificate } = await calibrate(heads, held, { agreement: 0.5, delta: 0.1 });
      expect(await verifyCertificate(certificate, { heads, documents: held })).toMatchObject({ verdict: "reproduced" });

      const prompt = documents[0]!.slice(0, 12);
      const options = { maxNewTokens: 30, stopAtEndOfText: false };
      const plain = generate(model, prompt, options);
      for await (const { exit } of plain) expect(exit).toBeUndefined();
      const policy = createPolicy(heads, ["always", "always"]);
      const drafted = generate(heads, prompt, { ...options, policy, lossless: {} });
      for await (const { id } of drafted) expect(id).toBeLessThan(61);
      expect(drafted.summary.ids).toEqual(plain.summary.ids);
      expect(drafted.summary.drafted).toBeGreaterThan(0); // kept or not
      heads.dispose();
      model.dispose();
    },
  );
});
