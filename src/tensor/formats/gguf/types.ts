/**
 * GGUF's tensor types (ggml's numbering) and block sizes. A quantized row is a whole number of blocks of 32 or 256
 * elements, each with its own scales. Source: the GGUF specification and ggml's block layouts.
 */
import { GgufError } from "../../../errors.js";

/** Types that `decodeGguf` turns into float32. */
const TYPES = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
  Q4_1: { id: 3, elements: 32, bytes: 20 },
  Q5_0: { id: 6, elements: 32, bytes: 22 },
  Q5_1: { id: 7, elements: 32, bytes: 24 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q2_K: { id: 10, elements: 256, bytes: 84 },
  Q3_K: { id: 11, elements: 256, bytes: 110 },
  Q4_K: { id: 12, elements: 256, bytes: 144 },
  Q5_K: { id: 13, elements: 256, bytes: 176 },
  Q6_K: { id: 14, elements: 256, bytes: 210 },
  IQ4_NL: { id: 20, elements: 32, bytes: 18 },
  IQ4_XS: { id: 23, elements: 256, bytes: 136 },
  BF16: { id: 30, elements: 1, bytes: 2 },
} as const;
export type GgufType = keyof typeof TYPES;

export const ggufTypes = Object.keys(TYPES) as GgufType[];

/** Throws a GgufError that lists the supported types. */
export function ggufTypeOf(id: number, tensor: string): GgufType {
  const type = ggufTypes.find((name) => TYPES[name].id === id);
  if (type !== undefined) return type;
  throw new GgufError(
    "gguf-tensor-type",
    `gguf: tensor ${JSON.stringify(tensor)} has ggml type ${id}, which is not supported; ` +
      `supported are ${ggufTypes.join(", ")}; quantize the model to one of them`,
    { tensor, type: id },
  );
}

export const isGgufType = (name: string): name is GgufType => Object.hasOwn(TYPES, name);

export function ggufBlock(type: GgufType): { readonly elements: number; readonly bytes: number } {
  return TYPES[type];
}

/** Four bits with float16 or float32 scales, or minimums of -8 times those, or eight bits without minimums. */
type IntegerForm = "int4" | "int4-floats" | "int4-centred" | "int8";

/** Holds a type's values exactly; undefined if none does. */
export function integerForm(type: string): IntegerForm | undefined {
  switch (type) {
    case "Q4_0":
      return "int4-centred";
    case "Q4_1":
      return "int4";
    case "Q4_K":
      return "int4-floats";
    case "Q8_0":
    case "Q5_0":
    case "IQ4_NL":
      return "int8";
    default:
      return undefined;
  }
}
