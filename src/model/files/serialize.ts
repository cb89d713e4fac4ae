/**
 * A model's weights as a checkpoint in its family's Hugging Face layout, for other libraries. Loading in reverse: each
 * part of a weight goes to the rows it would be loaded from.
 */
import type { SafetensorsDtype } from "../../tensor/formats/dtype.js";
import { serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";
import type { Shape } from "../../tensor/index.js";
import { sizeOf } from "../../tensor/shape.js";
import type { Part } from "../checkpoint.js";
import { families } from "../families/families.js";
import type { Model } from "../model.js";
import {
  type LinearPlan,
  type LinearWeights,
  type Matrix,
  type NormPlan,
  type NormWeights,
  partsOf,
} from "../weights.js";

interface SerializeOptions {
  readonly dtype?: Extract<SafetensorsDtype, "F32" | "BF16" | "F16">;
}

/** safetensors. */
export async function serializeModel(model: Model, { dtype = "F32" }: SerializeOptions = {}): Promise<Uint8Array> {
  const { config, weights } = model;
  const family = families[config.modelType];
  const layout = family.plan(config, family.prefixes[0]!);
  const file = new CheckpointWriter();
  await file.put(weights.embedding, [layout.embedding]);
  if (weights.positionEmbedding && layout.positionEmbedding) {
    await file.put(weights.positionEmbedding, [layout.positionEmbedding]);
  }
  for (const [l, block] of weights.blocks.entries()) {
    for (const [name, plan] of partsOf(layout.blocks[l]!)) await file.putPart(block[name]!, plan);
  }
  await file.putPart(weights.finalNorm, layout.finalNorm);
  if (layout.unembedding) await file.putPart(weights.unembedding, layout.unembedding);
  const tensors = Object.entries(file.tensors).map(([name, tensor]) => [name, { dtype, ...tensor }] as const);
  return serializeSafetensors(Object.fromEntries(tensors), { format: "pt" });
}

class CheckpointWriter {
  readonly tensors: Record<string, { readonly shape: Shape; readonly data: Float32Array }> = {};

  async put(weight: Matrix, parts: readonly Part[]): Promise<void> {
    const values = await weight.read();
    const columns = weight.shape.length === 2 ? weight.shape[1]! : 1;
    let row = 0;
    for (const { name, shape, transposed = false, rows, plus = 0 } of parts) {
      const { data } = (this.tensors[name] ??= { shape, data: new Float32Array(sizeOf(shape)) });
      const count = rows?.length ?? shape[transposed ? 1 : 0]!;
      for (let r = 0; r < count; r++, row++) {
        const to = rows?.[r] ?? r;
        for (let k = 0; k < columns; k++) {
          data[transposed ? k * shape[1]! + to : to * columns + k] = values[row * columns + k]! - plus;
        }
      }
    }
  }

  async putPart(weights: LinearWeights | NormWeights, plan: LinearPlan | NormPlan): Promise<void> {
    if ("gain" in plan) await this.put((weights as NormWeights).gain, [plan.gain]);
    else await this.put((weights as LinearWeights).weight, plan.weight);
    if (weights.bias && plan.bias) await this.put(weights.bias, [plan.bias].flat());
  }
}
