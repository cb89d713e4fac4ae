/** A look-ahead head, which bench/ahead.ts trains, beside the exits of the same model. */
import { ExitHeads, serializeHeads } from "early-exits";
import { parseSafetensors } from "early-exits/tensor";
import { deserializeHeads } from "../../src/exits/heads/deserialize-heads.js";
import { serializeSafetensors } from "../../src/tensor/formats/serialize-safetensors.js";

/** Its values are rounded to bfloat16, which halves its file; it runs in int8 in any case. */
export async function joinAhead({ model, heads, taught }: ExitHeads, { ahead }: ExitHeads): Promise<ExitHeads> {
  const { description, weights } = await serializeHeads(new ExitHeads(model, heads, taught, ahead));
  const file = parseSafetensors(weights);
  const rounded = file.names.map((name) => {
    const { shape } = file.info(name);
    const dtype = name.startsWith("exits.ahead.") ? "BF16" : "F32";
    return [name, { dtype, shape, data: file.float32(name) }] as const;
  });
  return deserializeHeads(model, description, serializeSafetensors(rounded));
}
