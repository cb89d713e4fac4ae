/**
 * GGUF's tensor types (ggml's numbering) and block sizes. A quantized row is a whole number of blocks of 32 or 256
 * elements, each with its own scales. Source: the GGUF specification and ggml's block layouts.
 */
import { GgufError } from "../../../errors.js";

/** Types that `decodeGguf` turns into float32. */
export type GgufType =
  | "F32"
  | "F16"
  | "BF16"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q8_0"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "IQ4_NL"
  | "IQ4_XS";

interface TypeRow {
  readonly id: number;
  readonly name: GgufType;
  readonly elements: number;
  readonly bytes: number;
}

const TYPES: readonly TypeRow[] = [
  { id: 0, name: "F32", elements: 1, bytes: 4 },
  { id: 1, name: "F16", elements: 1, bytes: 2 },
  { id: 2, name: "Q4_0", elements: 32, bytes: 18 },
  { id: 3, name: "Q4_1", elements: 32, bytes: 20 },
  { id: 6, name: "Q5_0", elements: 32, bytes: 22 },
  { id: 7, name: "Q5_1", elements: 32, bytes: 24 },
  { id: 8, name: "Q8_0", elements: 32, bytes: 34 },
  { id: 10, name: "Q2_K", elements: 256, bytes: 84 },
  { id: 11, name: "Q3_K", elements: 256, bytes: 110 },
  { id: 12, name: "Q4_K", elements: 256, bytes: 144 },
  { id: 13, name: "Q5_K", elements: 256, bytes: 176 },
  { id: 14, name: "Q6_K", elements: 256, bytes: 210 },
  { id: 20, name: "IQ4_NL", elements: 32, bytes: 18 },
  { id: 23, name: "IQ4_XS", elements: 256, bytes: 136 },
  { id: 30, name: "BF16", elements: 1, bytes: 2 },
];

const byId: ReadonlyMap<number, TypeRow> = new Map(TYPES.map((row) => [row.id, row]));
const byName: ReadonlyMap<string, TypeRow> = new Map(TYPES.map((row) => [row.name, row]));

export const ggufTypes = TYPES.map(({ name }) => name);

/** Throws a GgufError that lists the supported types. */
export function ggufTypeOf(id: number, tensor: string): GgufType {
  const row = byId.get(id);
  if (row !== undefined) return row.name;
  throw new GgufError(
    "gguf-tensor-type",
    `gguf: tensor ${JSON.stringify(tensor)} has ggml type ${id}, which is not supported; ` +
      `supported are ${ggufTypes.join(", ")}; quantize the model to one of them`,
    { tensor, type: id },
  );
}

export const isGgufType = (name: string): name is GgufType => byName.has(name);

export function ggufBlock(type: GgufType): { readonly elements: number; readonly bytes: number } {
  return byName.get(type)!;
}

/** Four bits with float16 or float32 scales, or eight bits without minimums. */
type IntegerForm = "int4" | "int4-floats" | "int8";

/** Holds a type's values exactly; undefined if none does. */
export function integerForm(type: string): IntegerForm | undefined {
  switch (type) {
    case "Q4_0":
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
