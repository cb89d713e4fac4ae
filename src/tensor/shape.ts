/**
 * Arithmetic on shapes, lists of non-negative integers, outermost first. Broadcasting follows NumPy: align shapes at
 * the right; sizes must be equal, or one of them 1.
 */
import { ShapeError } from "../errors.js";

export type Shape = readonly number[];

/** 1 for a scalar (the empty shape). */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const axis of shape) size *= axis;
  return size;
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let axis = 0; axis < a.length; axis++) {
    if (a[axis] !== b[axis]) return false;
  }
  return true;
}

/** Replaces the last axis. Decoding a small model asks for dozens per token, and `with` is slow. */
export function withLast(shape: Shape, size: number): Shape {
  return shape.length === 2 ? [shape[0]!, size] : shape.with(-1, size);
}

export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** Throws a ShapeError that names both shapes. */
export function broadcastShapes(where: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const left = padShape(a, rank);
  const right = padShape(b, rank);
  return left.map((size, axis) => {
    const other = right[axis]!;
    if (size !== other && size !== 1 && other !== 1) {
      throw new ShapeError(
        "shape-broadcast",
        `${where}: ${formatShape(a)} and ${formatShape(b)} do not broadcast; aligned at the right, sizes must ` +
          "be equal or 1",
        { a, b },
      );
    }
    return size === 1 ? other : size;
  });
}

/** Shapes differ by ones in front at most, so that their elements are the same. */
export function sameElements(a: Shape, b: Shape): boolean {
  const rank = Math.max(a.length, b.length);
  for (let axis = 1; axis <= rank; axis++) {
    if ((a.at(-axis) ?? 1) !== (b.at(-axis) ?? 1)) return false;
  }
  return true;
}

export function padShape(shape: Shape, rank: number): number[] {
  return [...new Array<number>(rank - shape.length).fill(1), ...shape];
}

/** Strides to read `shape` as the broadcast shape `to`: 0 along repeated axes. */
export function broadcastStrides(shape: Shape, to: Shape): number[] {
  const padded = padShape(shape, to.length);
  return stridesOf(padded).map((stride, axis) => (padded[axis] === 1 ? 0 : stride));
}

/** Its size, and each operand's step along it. */
export interface BroadcastAxis {
  readonly size: number;
  readonly a: number;
  readonly b: number;
}

/**
 * Outermost first, without axes of size 1. Neighbours that both operands walk evenly are joined, so that the last axis
 * is as long as possible.
 */
export function mergeAxes(shape: Shape, aStrides: readonly number[], bStrides: readonly number[]): BroadcastAxis[] {
  const axes: BroadcastAxis[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const axis = { size, a: aStrides[i]!, b: bStrides[i]! };
    const before = axes.at(-1);
    if (before !== undefined && before.a === axis.a * size && before.b === axis.b * size) {
      axes[axes.length - 1] = { ...axis, size: before.size * size };
    } else {
      axes.push(axis);
    }
  });
  return axes;
}

/** The last axis as columns, all before it as rows. */
export function rowsOf(where: string, shape: Shape): { rows: number; width: number } {
  const width = shape.at(-1);
  if (width === undefined) {
    throw new ShapeError("shape-rank", `${where}: expected at least one axis, found a scalar`, { shape });
  }
  let rows = 1;
  for (let axis = 0; axis < shape.length - 1; axis++) rows *= shape[axis]!;
  return { rows, width };
}

/** Throws a ShapeError for the first of `ids` that is not an integer in [0, size). */
export function requireIndices(where: string, ids: ArrayLike<number>, size: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (Number.isInteger(id) && id >= 0 && id < size) continue;
    throw new ShapeError("index-range", `${where}: id ${id} at index ${i} is not an integer in [0, ${size})`, {
      id,
      size,
    });
  }
}
