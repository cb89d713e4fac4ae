/**
 * Heads as a JSON description and safetensors bytes; loading gives the same bits. Values are float32, learned keys' and
 * values' weights bfloat16 where that holds them, and a look-ahead head's matrices int8 with float16 scales of groups.
 */
import type { Model } from "../../model/index.js";
import type { SafetensorsDtype } from "../../tensor/formats/dtype.js";
import { serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";
import type { ExitHead } from "./exit-head.js";
import { type HeadsDescription, headsVersion } from "./heads-description.js";
import type { Taught } from "./taught.js";

interface SerializedHeads {
  readonly description: HeadsDescription;
  readonly weights: Uint8Array;
}

/** Names of tensors in the safetensors file. */
export const tensorName = (depth: number | "ahead", name: string): string => `exits.${depth}.${name}`;

/**
 * Description (heads.json) and weights (safetensors) of heads, as `readHeads` reads them from a folder.
 *
 * @example
 * ```ts
 * import { attachHeads, serializeHeads } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const { description, weights } = await serializeHeads(attachHeads(model, { exits: [3] }));
 * console.log(description.format, weights.length > 500_000); // early-exits/heads true
 * ```
 */
export async function serializeHeads({
  model,
  heads,
  taught,
  ahead,
}: {
  readonly model: Model;
  readonly heads: readonly ExitHead[];
  readonly taught: Taught | undefined;
  readonly ahead?: ExitHead | undefined;
}): Promise<SerializedHeads> {
  const tensors: Record<string, { dtype: SafetensorsDtype; shape: readonly number[]; data: Float32Array | Int8Array }> =
    {};
  const grids = ahead && (await import("../../tensor/integer-rows.js"));
  const put = (
    depth: number | "ahead",
    name: string,
    data: Float32Array,
    shape: readonly number[],
    narrow = false,
  ): void => {
    const stored = tensorName(depth, name);
    tensors[stored] = { dtype: narrow && isBf16(data) ? "BF16" : "F32", shape, data };
    if (grids === undefined || depth !== "ahead" || shape.length < 2) return;
    const { integers, scales, ...rows } = grids.roundToInt8(data, shape[1]!);
    if (!grids.integerValues({ integers, scales, ...rows }).every((value, i) => value === data[i])) return;
    tensors[stored] = { dtype: "I8", shape, data: integers };
    tensors[`${stored}.scales`] = { dtype: "F16", shape: [scales.length], data: scales };
  };
  for (const head of ahead === undefined ? heads : [...heads, ahead]) {
    const { weights, preview, projection } = head;
    const depth = head === ahead ? "ahead" : head.depth;
    const all = { ...weights.tensors, ...(await preview?.weights())?.tensors };
    for (const [name, tensor] of Object.entries(all)) {
      put(depth, name, await tensor.read(), tensor.shape, head === ahead);
    }
    if (projection === undefined) continue;
    put(depth, "projection.weight", projection.weight, projection.shape, true);
    put(depth, "projection.bias", projection.bias, [projection.bias.length]);
  }
  const description: HeadsDescription = {
    format: "early-exits/heads",
    version: headsVersion,
    modelHash: await model.hash(),
    heads: heads.map(({ depth, shape, projection }) => ({
      depth,
      ...shape,
      ...(projection && { projection: projection.input }),
    })),
    ...(ahead && {
      ahead: { depth: ahead.depth, ...ahead.shape, ...(ahead.confidence && { confidence: ahead.confidence }) },
    }),
    ...(taught && { taught }),
  };
  return { description, weights: serializeSafetensors(tensors) };
}

/** bfloat16 holds all values exactly. */
function isBf16(values: Float32Array): boolean {
  return new Uint32Array(values.buffer, values.byteOffset, values.length).every((bits) => (bits & 0xffff) === 0);
}
