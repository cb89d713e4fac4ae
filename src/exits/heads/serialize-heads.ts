/** Heads as a JSON description and safetensors bytes, float32. Loading them back gives the same bits. */
import type { Model } from "../../model/index.js";
import { serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";
import type { Tensor } from "../../tensor/index.js";
import type { ExitHead } from "./exit-head.js";
import { type HeadShape, kindOf } from "./head-shape.js";
import { describeHeads, type HeadsDescription } from "./heads-description.js";

/** Heads as they are stored: a JSON description and a safetensors file. */
export interface SerializedHeads {
  readonly description: HeadsDescription;
  readonly weights: Uint8Array;
}

/** The name in the safetensors file of a weight of the head at a depth. */
export const tensorName = (depth: number, name: string): string => `exits.${depth}.${name}`;

/** The name of a weight in the file: version 1 calls the matrix of a lowRank head "up". */
export const storedName = (shape: HeadShape, name: string): string =>
  kindOf(shape) === "lowRank" && name === "weight" ? "up" : name;

/** Serialises `ExitHeads`: it needs only their model, their heads, and `ready`. */
export async function serializeHeads(heads: {
  readonly model: Model;
  readonly heads: readonly ExitHead[];
  ready(): Promise<void>;
}): Promise<SerializedHeads> {
  await heads.ready();
  const tensors: Record<string, { dtype: "F32" | "BF16"; shape: readonly number[]; data: Float32Array }> = {};
  const put = async (depth: number, name: string, tensor: Tensor, narrow = false): Promise<void> => {
    const data = await tensor.read();
    tensors[tensorName(depth, name)] = { dtype: narrow && isBf16(data) ? "BF16" : "F32", shape: tensor.shape, data };
  };
  for (const { depth, shape, weights, projection } of heads.heads) {
    for (const [name, tensor] of Object.entries(weights)) await put(depth, storedName(shape, name), tensor);
    if (projection !== undefined) {
      await put(depth, "projection.weight", projection.weight, true);
      await put(depth, "projection.bias", projection.bias);
    }
  }
  return {
    description: describeHeads(await heads.model.hash(), heads.heads),
    weights: serializeSafetensors(tensors),
  };
}

/** Whether bfloat16 holds all values as they are. */
function isBf16(values: Float32Array): boolean {
  return new Uint32Array(values.buffer, values.byteOffset, values.length).every((bits) => (bits & 0xffff) === 0);
}
