/** The wire format of Protocol Buffers, against the examples of its documentation and the layout of the numbers. */
import { fc, test as property } from "../support/property.js";
import { expect, it } from "vitest";
import { encodeMessage } from "../../apps/export/protobuf.js";

it.each([
  ["an integer: field 1 is 150", [1, 150], [0x08, 0x96, 0x01]],
  ['a string: field 2 is "testing"', [2, "testing"], [0x12, 7, ...new TextEncoder().encode("testing")]],
  ["a message: field 3 holds field 1, 150", [3, encodeMessage([[1, 150]])], [0x1a, 3, 0x08, 0x96, 0x01]],
  ["a negative integer in ten bytes", [1, -2], [0x08, 0xfe, ...Array<number>(8).fill(0xff), 0x01]],
  ["a float: field 2 is 1", [2, { float: 1 }], [0x15, 0, 0, 0x80, 0x3f]],
  ["a field number above 15", [16, 1], [0x80, 0x01, 1]],
] as const)("%s", (_name, field, bytes) => expect([...encodeMessage([field])]).toEqual(bytes));

property.prop([fc.bigInt({ min: 0n, max: 2n ** 63n - 1n })])("seven bits a byte, lowest first", (value) => {
  const bytes = encodeMessage([[1, value]]).slice(1);
  let read = 0n;
  for (const [i, byte] of bytes.entries()) read |= BigInt(byte & 127) << BigInt(7 * i);
  expect(read).toBe(value);
  expect([...bytes].map((byte) => byte >> 7)).toEqual([...bytes].map((_, i) => (i < bytes.length - 1 ? 1 : 0)));
});
