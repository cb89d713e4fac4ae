/** Bytes of a tensor, and errors of a wrong dtype or size. */
import { dtypeBits, type SafetensorsDtype, safetensorsDtypes } from "./dtype.js";
import { fault, quote } from "./errors.js";

interface TensorDescription {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** Every intermediate product is exact; elements of less than a byte must fill whole bytes. */
export function byteCount(tensor: TensorDescription): number {
  const { name, dtype, shape } = tensor;
  const bits = [...shape, dtypeBits(dtype)].reduce((product, size) => {
    if (product * size > Number.MAX_SAFE_INTEGER) {
      throw fault("shape-overflow", `safetensors: ${textOf(tensor)} has more than 2^53 bits`, { name, dtype });
    }
    return product * size;
  }, 1);
  if (bits % 8 !== 0) {
    throw fault(
      "partial-byte",
      `safetensors: ${textOf(tensor)} has ${bits} bits, which is not a whole number of bytes`,
      { name, dtype, bits },
    );
  }
  return bits / 8;
}

export function sizeMismatch(
  tensor: TensorDescription,
  { expected, found }: { readonly expected: number; readonly found: number },
): Error {
  const { name, dtype } = tensor;
  return fault("size-mismatch", `safetensors: ${textOf(tensor)} takes ${expected} bytes, found ${found}`, {
    name,
    dtype,
    expected,
    found,
  });
}

export function unknownDtype(name: string, dtype: string): Error {
  return fault(
    "unknown-dtype",
    `safetensors: ${quote(name)} has dtype ${quote(dtype)}; legal are ${safetensorsDtypes.join(", ")}`,
    { name, dtype: dtype.slice(0, 80) },
  );
}

/** Cut after eight sizes. */
function textOf({ name, dtype, shape }: TensorDescription): string {
  const sizes = shape.length > 8 ? [...shape.slice(0, 8), `... ${shape.length} sizes`] : shape;
  return `${quote(name)} of ${dtype} and shape [${sizes.join(", ")}]`;
}
