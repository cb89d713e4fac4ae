/** Heads under other projects' key names, read as those projects read them, compute what the heads compute. */
import { attachHeads, type ExitHeads, type HeadKind, trainHeads } from "early-exits";
import { type HeadLayout, headLayouts, layOutHeads } from "early-exits/export";
import { normalize } from "early-exits/model";
import { parseSafetensors } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { scope, Tensor } from "../../src/tensor/index.js";
import { linear } from "../../src/tensor/ops/index.js";
import { largestDifference } from "../support/golden.js";
import { randomIds, smallConfigs, smallModel } from "../support/models.js";

/** The matrix of the i-th head, and its norm, if it has one of its own. */
const keys: Readonly<Record<HeadLayout, (i: number, depth: number) => readonly [matrix: string, norm?: string]>> = {
  "ee-llm": (i, depth) => [
    `language_model.exit_output_layer.${i}.weight`,
    `language_model.encoder.layers.${depth - 1}.exit_norm`,
  ],
  balcony: (i) => [`model.exit_modules.${i}.1.weight`, `model.exit_modules.${i}.0`],
  medusa: (i) => [`${i}.1.weight`],
};

const documents = Array.from({ length: 8 }, (_, i) => randomIds(24, 59, i));

async function trained(config: string, kind: HeadKind): Promise<ExitHeads> {
  const heads = attachHeads(await smallModel({ config: smallConfigs[config]! }), { exits: [1, 3], kind });
  await trainHeads(heads, documents, { steps: 3, batchSize: 2, sequenceLength: 16, learningRate: 1e-2 });
  await heads.freeze();
  return heads;
}

/** The tensors that a layout's file holds, as float32. */
async function laidOut(heads: ExitHeads, layout: HeadLayout): Promise<(name: string) => Tensor | undefined> {
  const files = await layOutHeads(heads, layout);
  const [file] = Object.keys(files).filter((name) => name.endsWith(".safetensors"));
  const parsed = parseSafetensors(files[file!] as Uint8Array);
  return (name) =>
    parsed.names.includes(name)
      ? Tensor.from(heads.model.device, parsed.float32(name), parsed.info(name).shape)
      : undefined;
}

describe.each(headLayouts)("%s", (layout) => {
  it.each([
    ["llama", "dense"],
    ["llama", "tied"],
    ["llama", "lowRank"],
    ["gpt2", "tied"],
  ] as const)("a head of %s, %s", async (config, kind) => {
    // Training moves the biases of norms, which Medusa's heads have no place for.
    const heads = await trained(config, kind);
    const { model } = heads;
    if (layout === "medusa" && config === "gpt2") {
      await expect(layOutHeads(heads, layout)).rejects.toMatchObject({ code: "layout-norm" });
      return;
    }
    const tensor = await laidOut(heads, layout);
    for (const [i, head] of heads.heads.entries()) {
      const [matrix, norm] = keys[layout](i, head.depth);
      const gain = tensor(`${norm!}.weight`);
      const bias = tensor(`${norm!}.bias`);
      const own = norm === undefined ? model.weights.finalNorm : { gain: gain!, ...(bias && { bias }) };
      const states = scope(() => model.forward(documents[0]!, { toDepth: head.depth }).get(head.depth)!);
      const read = scope(() => linear(normalize(states, own, model.config), tensor(matrix)!));
      const expected = await head.readLogits(head.logits(states));
      const size = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      // Products of at most three matrices, each a sum of C = 24 terms, in another order.
      expect(largestDifference(await read.read(), expected)).toBeLessThan(3 * 24 * 24 * 2 ** -24 * size);
    }
  });

  it.each(["linear", "mlp", "shortlist", "linearPreview", "linearPreviewShortlist"] as const)(
    "refuses a head of kind %s",
    async (kind) => {
      const heads = attachHeads(await smallModel(), { exits: [2], kind });
      await expect(layOutHeads(heads, layout)).rejects.toMatchObject({ code: "layout-head", details: { depth: 2 } });
    },
  );
});

it("Medusa's residual blocks are the identity", async () => {
  const tensor = await laidOut(await trained("llama", "dense"), "medusa");
  for (const name of ["0.0.linear.weight", "0.0.linear.bias", "1.0.linear.weight", "1.0.linear.bias"]) {
    const values = await tensor(name)!.read();
    expect(values.every((value) => value === 0)).toBe(true); // x + silu(0) = x
  }
});
