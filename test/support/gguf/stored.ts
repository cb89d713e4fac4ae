/** Tensors as GGUF stores them: values of five types as bytes, and their places in a file. */
import { float32ToBf16, float32ToF16 } from "../../../src/tensor/formats/half-floats.js";
import { concat, type GgufParts } from "./bytes.js";

/** Types that this file can write. */
export type WrittenType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";

export type TypedValue = readonly [type: number, value: Uint8Array];

export interface PlainTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A tensor with its values as bytes of a type. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: WrittenType;
  readonly bytes: Uint8Array;
}

export function storeTensor({ name, shape, data }: PlainTensor, type: WrittenType) {
  return { name, shape, type, bytes: ENCODE[type](data) };
}

/** Parts of a file with these tensors and pairs. */
export function partsOf(stored: readonly StoredTensor[], pairs: ReadonlyMap<string, TypedValue>): GgufParts {
  const data: Uint8Array[] = [];
  let offset = 0;
  const tensors = stored.map(({ name, shape, type, bytes }) => {
    const begin = offset;
    const padding = (32 - (bytes.length % 32)) % 32;
    data.push(bytes, new Uint8Array(padding));
    offset += bytes.length + padding;
    return { name, sizes: shape.map(BigInt).reverse(), type: TYPE_IDS[type], offset: BigInt(begin) };
  });
  return {
    pairs: [...pairs].map(([key, [type, value]]) => [key, type, value]),
    tensors,
    data: concat(...data),
  };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength);
const halfOf = (value: number) => float32ToF16(Float32Array.of(value));

/** Blocks of 32, each a float16 scale and `quantize`'s bytes. */
function blocksOf(
  values: Float32Array,
  scaleOf: (extreme: number) => number,
  quantize: (scaled: readonly number[]) => Uint8Array,
) {
  const blocks: Uint8Array[] = [];
  for (let begin = 0; begin < values.length; begin += 32) {
    const block = Array.from(values.subarray(begin, begin + 32));
    const extreme = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const d = scaleOf(extreme);
    blocks.push(bytesOf(halfOf(d)), quantize(block.map((value) => (d === 0 ? 0 : value / d))));
  }
  return concat(...blocks);
}

const TYPE_IDS = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8, BF16: 30 } as const satisfies Record<WrittenType, number>;

const nibble = (value: number) => Math.min(15, Math.max(0, Math.round(value) + 8));

const ENCODE: Readonly<Record<WrittenType, (values: Float32Array) => Uint8Array>> = {
  F32: (values) => bytesOf(values).slice(),
  F16: (values) => bytesOf(float32ToF16(values)),
  BF16: (values) => bytesOf(float32ToBf16(values)),
  Q8_0: (values) =>
    blocksOf(
      values,
      (extreme) => Math.abs(extreme) / 127,
      (scaled) => bytesOf(Int8Array.from(scaled, (value) => Math.round(value))),
    ),
  Q4_0: (values) =>
    blocksOf(
      values,
      (extreme) => extreme / -8,
      (scaled) => Uint8Array.from({ length: 16 }, (_, j) => nibble(scaled[j]!) | (nibble(scaled[j + 16]!) << 4)),
    ),
};
