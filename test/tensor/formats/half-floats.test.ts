/**
 * Facts about the 16-bit floats, over all their patterns. Independent formulas stand in for a reference: powers of two
 * for decoding, nearest neighbours for rounding.
 */
import { expect, test } from "vitest";
import { bf16ToFloat32, f16ToFloat32, float32ToBf16, float32ToF16 } from "../../../src/tensor/formats/half-floats.js";

const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
/** The value of a pattern from the definition: sign, exponent field, mantissa field. */
const valueOf = (pattern: number, exponentBits: number) => {
  const mantissaBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = pattern >= 0x8000 ? -1 : 1;
  const field = (pattern & 0x7fff) >> mantissaBits;
  const fraction = (pattern % 2 ** mantissaBits) / 2 ** mantissaBits;
  if (field === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return field === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (field - bias);
};
const kinds = [
  { name: "F16", exponentBits: 5, decode: f16ToFloat32, encode: float32ToF16 },
  { name: "BF16", exponentBits: 8, decode: bf16ToFloat32, encode: float32ToBf16 },
] as const;

test.each(kinds)("$name decodes all 65536 patterns as the definition says", ({ exponentBits, decode }) => {
  const values = decode(patterns);
  const wrong = [...patterns].filter((pattern) => !Object.is(values[pattern], valueOf(pattern, exponentBits)));
  expect(wrong).toEqual([]);
});

test.each(kinds)(
  "$name gives back every pattern; a NaN comes back quiet with its sign",
  ({ exponentBits, decode, encode }) => {
    const back = encode(decode(patterns));
    const quiet = 1 << (14 - exponentBits);
    const wrong = [...patterns].filter(
      (pattern) => back[pattern] !== (Number.isNaN(valueOf(pattern, exponentBits)) ? pattern | quiet : pattern),
    );
    expect(wrong).toEqual([]);
  },
);

test.each(kinds)(
  "$name rounds to nearest, ties to even, between any two neighbours",
  ({ exponentBits, decode, encode }) => {
    const infinity = ((2 ** exponentBits - 1) << (15 - exponentBits)) >>> 0;
    const finite = decode(patterns.slice(0, infinity));
    const wrong: number[] = [];
    for (let low = 0; low < infinity; low++) {
      // beyond the largest, the next power of two stands for infinity
      const above = low + 1 < infinity ? finite[low + 1]! : 2 ** (2 ** (exponentBits - 1));
      const middle = Math.fround((finite[low]! + above) / 2); // exact: a float32 has bits to spare
      const bits = new Uint32Array(Float32Array.of(middle, middle, -middle).buffer);
      bits[0]! -= 1; // the float32 just below the tie; further down, the one just above
      const [under, tie, negative] = encode(new Float32Array(bits.buffer));
      bits[0]! += 2;
      const over = encode(new Float32Array(bits.buffer))[0];
      const even = low % 2 === 0 ? low : low + 1;
      if (under !== low || tie !== even || negative !== (even | 0x8000) || over !== low + 1) wrong.push(low);
    }
    expect(wrong).toEqual([]);
  },
);

test("F16 overflows from 65520 on, and BF16 at half a unit beyond its largest", () => {
  expect([...float32ToF16(Float32Array.of(65519.996, 65520, -65520, 3e38))]).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00]);
  expect([...float32ToBf16(Float32Array.of(3.4028235e38, -3.4028235e38, 3.3895e38))]).toEqual([0x7f80, 0xff80, 0x7f7f]);
});

test("a NaN whose payload lies in the bits cut off stays NaN", () => {
  const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
  expect([...float32ToBf16(values)]).toEqual([0x7fc0, 0xffc0]);
  expect([...float32ToF16(values)]).toEqual([0x7e00, 0xfe00]);
});
