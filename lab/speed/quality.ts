/**
 * The loss of quality from low-precision weights. Per weight type: perplexity, the share of positions with the same
 * argmax as float32, and the mean KL divergence from float32.
 */
import type { Model, WeightDtype } from "early-exits";
import { crossEntropy, klDivergence, scope, type Tensor } from "early-exits/tensor";
import { argmax, mean } from "../../src/tensor/ops/reduce.js";
import { weightDtypes } from "../../src/tensor/device.js";
import { createDevice, readModel } from "early-exits/node";
import { documentsOf } from "../ship/embedded.js";

export interface Quality {
  readonly dtype: WeightDtype;
  /** exp of the mean next-token cross-entropy. */
  readonly perplexity: number;
  /** Share of positions with the same argmax as float32 weights. */
  readonly agreement: number;
  /** Mean KL(float32 || this), nats. */
  readonly divergence: number;
}

/** Compares the weight types on documents, each cut to the context size. */
export async function measureQuality(folder: string, documents: readonly string[]): Promise<Quality[]> {
  const device = await createDevice("auto");
  const models: [WeightDtype, Model][] = [];
  for (const dtype of weightDtypes) {
    models.push([dtype, await readModel(folder, { device, dtype })]);
  }
  const totals = new Map(models.map(([dtype]) => [dtype, { loss: 0, agreed: 0, divergence: 0 }]));
  let positions = 0;
  let predicted = 0;
  const { maxPositionEmbeddings } = models[0]![1].config;
  for (const document of documents) {
    const ids = models[0]![1].tokenizer.encode(document).slice(0, maxPositionEmbeddings);
    if (ids.length < 2) continue;
    let reference: { logits: Tensor; best: number[] } | undefined;
    for (const [dtype, model] of models) {
      const logits = scope(() => model.unembed(model.forward(ids).get(model.config.numLayers)!));
      const best = await argmax(logits);
      reference ??= { logits, best };
      const { logits: exact, best: exactBest } = reference;
      const { loss, divergence } = scope(() => ({
        loss: mean(crossEntropy(logits, [...ids.slice(1), -1])),
        divergence: mean(klDivergence(exact, logits)),
      }));
      const total = totals.get(dtype)!;
      total.loss += (await loss.read())[0]! * ids.length; // the masked last row counts as 0
      total.divergence += (await divergence.read())[0]! * ids.length;
      total.agreed += best.filter((id, t) => id === exactBest[t]).length;
      for (const tensor of [loss, divergence, ...(logits === exact ? [] : [logits])]) tensor.dispose();
    }
    reference?.logits.dispose();
    positions += ids.length;
    predicted += ids.length - 1;
  }
  await device.dispose();
  return [...totals].map(([dtype, { loss, agreed, divergence }]) => ({
    dtype,
    perplexity: Math.exp(loss / predicted),
    agreement: agreed / positions,
    divergence: divergence / positions,
  }));
}

/** The embedded model's test segments. */
export async function embeddedTestDocuments(): Promise<readonly string[]> {
  return documentsOf("sotu-12", "test");
}
