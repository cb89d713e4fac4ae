/**
 * What becomes of the keys and values that a token leaving early never made, and that later tokens going deeper attend to. Each
 * strategy is called once, right after an exit:
 *   lazy       keep the state; `advance` runs the missing blocks later, batched, when a token goes deeper. The same output as a full
 *              pass, bit for bit; saves weight traffic, not FLOPs. (FREE, EE-LLM, LayerSkip)
 *   propagate  copy the exit state upward and make the missing keys and values of it: 2·C·G·D per skipped block. Approximate: other
 *              tokens may change. (CALM)
 */
import { PolicyError } from "../errors.js";
import { writeKeyValue } from "../model/advance.js";
import type { Model } from "../model/model.js";
import type { Sequence } from "../model/sequence.js";
import { type BlockWeights, bytesOf, multiplyAddsOf } from "../model/weights.js";
import type { Ledger } from "./ledger.js";

export type FillName = "lazy" | "propagate";

/** Called after the token of `position` was chosen at `depth` < L. */
export type Fill = (model: Model, sequence: Sequence, position: number, depth: number, ledger?: Ledger) => void;

export const fills: Readonly<Record<FillName, Fill>> = {
  lazy: () => undefined,

  propagate(model, sequence, position, depth, ledger) {
    const state = sequence.hidden(position);
    for (let layer = depth; layer < model.config.numLayers; layer++) {
      writeKeyValue(model, sequence, position, layer, state);
      ledger?.fill(1, keyValueWork(model.weights.blocks[layer]!));
    }
    state.dispose();
    sequence.complete(position);
  },
};

function keyValueWork({ attentionNorm, keyValue }: BlockWeights): { multiplyAdds: number; bytes: number } {
  return { multiplyAdds: multiplyAddsOf(keyValue), bytes: bytesOf(keyValue) + bytesOf(attentionNorm) };
}

/** Throws a PolicyError unless it is a known strategy. */
export function checkFill(name: unknown): FillName {
  if (typeof name === "string" && Object.hasOwn(fills, name)) return name as FillName;
  throw new PolicyError("fill-unknown", `policy: fill ${JSON.stringify(name)} does not exist; choose one of ${Object.keys(fills).join(", ")}`, { name });
}
