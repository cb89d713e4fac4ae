/**
 * What becomes of the keys and values that a token leaving early never made, and that later tokens going deeper attend to. Each
 * strategy is called once, right after an exit:
 *   lazy       keep the state; `advance` runs the missing blocks later, batched, when a token goes deeper. The same output as a full
 *              pass, bit for bit; saves weight traffic, not FLOPs. (FREE, EE-LLM, LayerSkip)
 *   propagate  copy the exit state upward and make the missing keys and values of it: 2·C·G·D per skipped block. Approximate: other
 *              tokens may change. (CALM)
 *   shared     for backbones whose upper blocks share the keys and values of one block (numKvSharedLayers): an exit above that block owes
 *              nothing, one right below it owes that block's keys and values, made of the state it has; one further down runs up to there.
 *              The same output as a full pass, bit for bit; saves everything.
 */
import { PolicyError } from "../errors.js";
import { advance, writeKeyValue } from "../model/advance.js";
import { keyValueLayers } from "../model/config.js";
import type { Model } from "../model/model.js";
import type { Sequence } from "../model/sequence.js";
import { bytesOf, multiplyAddsOf } from "../model/weights.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Ledger } from "./ledger.js";

export type FillName = "lazy" | "propagate" | "shared";

/** Called after the token of `position` was chosen at `depth` < L. */
export type Fill = (model: Model, sequence: Sequence, position: number, depth: number, ledger?: Ledger) => void;

export const fills: Readonly<Record<FillName, Fill>> = {
  lazy: () => undefined,

  propagate(model, sequence, position, depth, ledger) {
    const state = sequence.hidden(position);
    for (let layer = depth; layer < keyValueLayers(model.config); layer++) fillBlock(model, sequence, position, layer, state, ledger);
    state.dispose();
    sequence.complete(position);
  },

  shared(model, sequence, position, depth, ledger) {
    const last = keyValueLayers(model.config) - 1; // the block whose keys and values those above share
    if (depth < last) advance(model, [{ sequence, positions: sequence.pending(last) }], last, ledger);
    if (depth <= last) {
      const state = sequence.hidden(position);
      fillBlock(model, sequence, position, last, state, ledger);
      state.dispose();
    }
    sequence.complete(position);
  },
};

/** Keys and values of one block for `position`, made of a state that did not run through the blocks before it. */
function fillBlock(model: Model, sequence: Sequence, position: number, layer: number, state: Tensor, ledger: Ledger | undefined): void {
  writeKeyValue(model, sequence, position, layer, state);
  const { attentionNorm, keyValue } = model.weights.blocks[layer]!;
  ledger?.fill(1, { multiplyAdds: multiplyAddsOf(keyValue!), bytes: bytesOf(keyValue!) + bytesOf(attentionNorm) });
}

/** Throws a PolicyError where the model is not built for the strategy. */
export function requireFillFor({ config }: Model, name: FillName): void {
  if (name === "shared" && config.numKvSharedLayers === 0) throw new PolicyError("fill-shared", "policy: fill shared needs a backbone whose upper blocks share keys and values (num_kv_shared_layers); use lazy or propagate");
}

/** Throws a PolicyError unless it is a known strategy. */
export function checkFill(name: unknown): FillName {
  if (typeof name === "string" && Object.hasOwn(fills, name)) return name as FillName;
  throw new PolicyError("fill-unknown", `policy: fill ${JSON.stringify(name)} does not exist; choose one of ${Object.keys(fills).join(", ")}`, { name });
}
