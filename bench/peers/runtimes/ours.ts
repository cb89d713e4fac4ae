/**
 * Peer: this library, through its public API, as a program uses it: `advance` to full depth, `unembed` the last hidden
 * state, argmax on the device.
 */
import { argmax, scope } from "early-exits/tensor";
import { advance, type Model, Sequence } from "early-exits/model";
import type { PeerSession } from "../peer.js";

/** A session with a loaded model, which it disposes of. */
export function sessionOf(model: Model, contextSize: number): PeerSession {
  const { numLayers } = model.config;
  let sequence = new Sequence(model, contextSize);

  return {
    info: model.device.info.description,
    reset() {
      sequence.dispose();
      sequence = new Sequence(model, contextSize);
      return Promise.resolve();
    },
    async advance(ids) {
      sequence.append(...ids);
      advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
      const logits = scope(() => model.unembed(sequence.hidden(sequence.length - 1)));
      const [token] = await argmax(logits);
      logits.dispose();
      return token!;
    },
    close() {
      model.dispose();
      return Promise.resolve();
    },
  };
}
