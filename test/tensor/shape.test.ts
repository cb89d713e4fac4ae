/**
 * Arithmetic on shapes, against its definition: the offset of an index is Σ index·stride, and a broadcast reads index 0
 * along repeated axes.
 */
import { describe, expect } from "vitest";
import { ShapeError } from "../../src/errors.js";
import { broadcastShapes, broadcastStrides, formatShape, rowsOf, sizeOf, stridesOf } from "../../src/tensor/shape.js";
import { sumOf, times } from "../support/lists.js";
import { fc, test } from "../support/property.js";

const shapes = fc.array(fc.nat(4), { maxLength: 4 });

/** Every index of a shape, in row-major order. */
function* indices(shape: readonly number[]): Generator<number[]> {
  const [first, ...rest] = shape;
  if (first === undefined) yield [];
  else {
    for (let i = 0; i < first; i++) {
      for (const tail of indices(rest)) yield [i, ...tail];
    }
  }
}

const dot = (a: readonly number[], b: readonly number[]) => sumOf(a, (value, i) => value * b[i]!);

describe("sizes and strides", () => {
  test("a scalar has one element, an axis of size 0 leaves none", () => {
    expect([sizeOf([]), sizeOf([2, 3]), sizeOf([2, 0, 3])]).toEqual([1, 6, 0]);
    expect(formatShape([2, 3])).toBe("[2, 3]");
    expect(formatShape([])).toBe("[]");
  });

  test.prop([shapes])("row-major strides number the indices 0, 1, 2, …", (shape) => {
    const strides = stridesOf(shape);
    expect(Array.from(indices(shape), (index) => dot(index, strides))).toEqual(times(sizeOf(shape), (i) => i));
  });

  test("rowsOf takes the last axis as columns, and refuses a scalar", () => {
    expect(rowsOf("test", [2, 3, 4])).toEqual({ rows: 6, width: 4 });
    expect(rowsOf("test", [5])).toEqual({ rows: 1, width: 5 });
    expect(() => rowsOf("softmax", [])).toThrow(
      expect.objectContaining({ code: "shape-rank", message: "softmax: expected at least one axis, found a scalar" }),
    );
  });
});

describe("broadcasting", () => {
  test("aligns at the right and stretches ones, as NumPy documents it", () => {
    expect(broadcastShapes("add", [8, 1, 6, 1], [7, 1, 5])).toEqual([8, 7, 6, 5]);
    expect(broadcastShapes("add", [5, 4], [1])).toEqual([5, 4]);
    expect(broadcastShapes("add", [15, 3, 5], [15, 1, 5])).toEqual([15, 3, 5]);
    expect(broadcastShapes("add", [], [2])).toEqual([2]);
    expect(broadcastShapes("add", [1, 3], [0, 1])).toEqual([0, 3]);
  });

  test.prop([shapes, shapes])("is symmetric, or fails both ways with both shapes named", (a, b) => {
    const attempt = (left: number[], right: number[]) => {
      try {
        return broadcastShapes("add", left, right);
      } catch (error) {
        if (error instanceof ShapeError) return error;
        throw error;
      }
    };
    const forth = attempt(a, b);
    const back = attempt(b, a);
    if (forth instanceof ShapeError) {
      expect(back).toBeInstanceOf(ShapeError);
      expect(forth.code).toBe("shape-broadcast");
      expect(forth.message).toContain(`add: ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
      expect(forth.details).toEqual({ a, b });
    } else expect(back).toEqual(forth);
  });

  const stretched = fc
    .array(fc.tuple(fc.nat(3), fc.boolean()), { maxLength: 4 })
    .chain((axes) =>
      fc.tuple(
        fc.constant(axes.map(([size]) => size)),
        fc.constant(axes.map(([size, one]) => (one ? 1 : size))),
        fc.nat(axes.length),
      ),
    );
  test.prop([stretched])("strides read index 0 along every repeated axis", ([to, padded, dropped]) => {
    const shape = padded.slice(dropped);
    const strides = broadcastStrides(shape, to);
    for (const index of indices(to)) {
      const own = index.slice(dropped).map((i, axis) => (shape[axis] === 1 ? 0 : i));
      expect(dot(index, strides)).toBe(dot(own, stridesOf(shape)));
    }
  });
});
