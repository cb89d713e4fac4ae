/**
 * Setup of the suites in Node: typed arrays of the same bits are equal at once. Without it, `toEqual` compares them
 * element by element, key by key, which takes longer than computing them. Arrays that differ in any bit are left to it.
 */
import { expect } from "vitest";

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => Buffer.from(buffer, byteOffset, byteLength);

expect.addEqualityTesters([
  (a: unknown, b: unknown) => {
    if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined;
    return bytesOf(a).equals(bytesOf(b)) || undefined;
  },
]);
