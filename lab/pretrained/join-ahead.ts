/** A look-ahead head, which bench/ahead.ts trains, beside the exits of the same model. */
import { ExitHeads, serializeHeads } from "early-exits";
import { parseSafetensors } from "early-exits/tensor";
import { deserializeHeads } from "../../src/exits/heads/deserialize-heads.js";
import { integerValues, roundToIntegers } from "../../src/tensor/integer-rows.js";
import { serializeSafetensors } from "../../src/tensor/formats/serialize-safetensors.js";

/** Its matrices are rounded to int8, in which they run, and which takes a quarter of the file. */
export async function joinAhead({ model, heads, taught }: ExitHeads, { ahead }: ExitHeads): Promise<ExitHeads> {
  const { description, weights } = await serializeHeads(new ExitHeads(model, heads, taught, ahead));
  const file = parseSafetensors(weights);
  const rounded = file.names.map((name) => {
    const { shape } = file.info(name);
    const values = file.float32(name);
    const matrix = /^exits\.ahead\.(map|up|down)$/.test(name);
    const data = matrix ? integerValues(roundToIntegers(values, shape[1]!, "int8")) : values;
    return [name, { dtype: "F32", shape, data }] as const;
  });
  return deserializeHeads(model, description, serializeSafetensors(rounded));
}
