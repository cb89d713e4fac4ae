/**
 * Decoding over the API that onnxruntime-node and onnxruntime-web share. Each step feeds ids, positions and the cache,
 * and takes the last token's logits and the new cache. (The cache grows by copying, in the runtime: neither package can
 * grow a tensor in place.)
 */
import { argmaxOf } from "early-exits/model";
import type { InferenceSession, Tensor, TensorConstructor } from "onnxruntime-common";
import type { PeerSession } from "../peer.js";
import { shape } from "../shape.js";

const { numLayers, numHeads, headDim } = shape;
const names = Array.from({ length: numLayers }, (_, l) => [`key_${l}`, `value_${l}`]).flat();

export function onnxSession(Tensor: TensorConstructor, session: InferenceSession, info: string): PeerSession {
  const empty = (): Tensor[] => names.map(() => new Tensor("float32", new Float32Array(0), [1, numHeads, 0, headDim]));
  let caches = empty();
  let length = 0;

  async function logits(ids: readonly number[]): Promise<Float32Array> {
    const results = await session.run({
      ids: new Tensor("int32", Int32Array.from(ids), [ids.length]),
      positions: new Tensor(
        "int32",
        Int32Array.from(ids, (_, i) => length + i),
        [ids.length],
      ),
      ...Object.fromEntries(names.map((name, i) => [`past_${name}`, caches[i]!])),
    });
    caches = names.map((name) => results[`present_${name}`]!);
    length += ids.length;
    return results["logits"]!.data as Float32Array;
  }

  return {
    info,
    reset() {
      caches = empty();
      length = 0;
      return Promise.resolve();
    },
    logits,
    advance: async (ids) => argmaxOf(await logits(ids)),
    close: () => session.release(),
  };
}
