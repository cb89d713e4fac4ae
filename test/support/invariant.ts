/**
 * Invariant I of a sequence under `lazy`: what is cached and kept equals the result of a fresh full pass over the same
 * tokens.
 */
import type { Model } from "early-exits";
import { advance, Sequence } from "early-exits/model";
import { expect } from "vitest";

/** A sequence whose positions have all run through all blocks in one batch. */
export function freshPass(model: Model, ids: readonly number[]) {
  const sequence = new Sequence(model, ids.length);
  sequence.append(...ids);
  advance(model, [{ sequence, positions: ids.map((_, s) => s) }], model.config.numLayers);
  return sequence;
}

/**
 * Expects keys and values of every block l < depthOf(s), and the kept state, to be bit-identical to a fresh pass.
 */
export async function expectInvariant(model: Model, sequence: Sequence) {
  const { ids } = sequence;
  const {
    device,
    config: { hiddenSize, numLayers },
  } = model;
  const fresh = freshPass(model, ids);
  const states = await model.hiddenStates(ids);
  for (let s = 0; s < sequence.length; s++) {
    const depth = sequence.depthOf(s);
    for (let layer = 0; layer < depth; layer++) {
      expect(await device.readCache(sequence.cache(layer), s, s + 1)).toEqual(
        await device.readCache(fresh.cache(layer), s, s + 1),
      );
    }
    if (depth > 0 && depth < numLayers) {
      expect(await sequence.hidden(s).read()).toEqual(states[depth]!.slice(s * hiddenSize, (s + 1) * hiddenSize));
    }
  }
  fresh.dispose();
}
