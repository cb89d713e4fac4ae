/**
 * Rounding of the input of products with integer weights, as ONNX nodes: each group of 32 values of a row is rounded to
 * integers a = round(x / t), ties to even, and the product is that of a · t with the values that the weights stand for
 * (tensor/reference/integer-products.ts). A graph multiplies them in float32; only the order of sums differs.
 *   t = size / top per group, with the size max |x| and top 127 beside four bits; beside eight the size is half of
 *   max(x, 0) - min(x, 0), and top 63.25. In wide groups, whose size exceeds 1.1 times the mean of their row's,
 *   t = max |x| / wideTop.
 */
import type { PackedDtype } from "early-exits/tensor";
import type { GraphBuilder } from "./graph-builder.js";

const GROUP = 32;
const WIDE = 1.1;
/** Smaller groups count as zero. */
const SMALLEST = 2 ** -110;

interface RowRounding {
  readonly top: number;
  readonly wideTop: number;
  /** A group's size is half of its range. */
  readonly byRange: boolean;
}

/** The rounding of rows beside weights of a dtype; undefined if they are not rounded. */
export function roundingOf(dtype: PackedDtype): RowRounding | undefined {
  switch (dtype) {
    case "float32":
    case "bfloat16":
      return undefined;
    case "int8":
      return { top: 63.25, wideTop: 63 * 128, byRange: true };
    default:
      return { top: 127, wideTop: 127 * 256, byRange: false };
  }
}

/** x [R, K] -> a · t [R, K]. */
export function roundRows(b: GraphBuilder, x: string, columns: number, { top, wideTop, byRange }: RowRounding): string {
  const groups = Math.ceil(columns / GROUP);
  const missing = groups * GROUP - columns;
  const padded = missing === 0 ? x : b.node("Pad", [x, b.int64(0, 0, 0, missing)]);
  const grouped = b.node("Reshape", [padded, b.int64(-1, groups, GROUP)]); // [R, G, 32]
  const keep = { attributes: { keepdims: 1 } };
  const largest = b.node("ReduceMax", [b.node("Abs", [grouped]), b.int64(2)], keep); // [R, G, 1]
  const size = byRange ? halfRange(b, grouped) : largest;
  const total = b.node("ReduceSum", [size, b.int64(1)], keep); // [R, 1, 1]
  const wide = b.node("Greater", [b.node("Mul", [size, b.scalar(groups)]), b.node("Mul", [total, b.scalar(WIDE)])]);
  const tops = b.node("Where", [wide, b.scalar(wideTop), b.scalar(top)]); // [R, G, 1]
  const counts = b.node("GreaterOrEqual", [largest, b.scalar(SMALLEST)]);
  const reach = b.node("Where", [wide, largest, size]);
  const divisor = b.node("Where", [counts, reach, b.scalar(1)]);
  const integers = b.node("Round", [b.node("Mul", [grouped, b.node("Div", [tops, divisor])])]);
  const step = b.node("Where", [counts, b.node("Div", [reach, tops]), b.scalar(0)]);
  const rounded = b.node("Reshape", [b.node("Mul", [integers, step]), b.int64(-1, groups * GROUP)]);
  if (missing === 0) return rounded;
  return b.node("Slice", [rounded, b.int64(0), b.int64(columns), b.int64(1)]);
}

/** [R, G, 32] -> half of max(x, 0) - min(x, 0) [R, G, 1]. */
function halfRange(b: GraphBuilder, grouped: string): string {
  const keep = { attributes: { keepdims: 1 } };
  const zero = b.scalar(0);
  const high = b.node("Max", [b.node("ReduceMax", [grouped, b.int64(2)], keep), zero]);
  const low = b.node("Min", [b.node("ReduceMin", [grouped, b.int64(2)], keep), zero]);
  return b.node("Sub", [b.node("Mul", [high, b.scalar(0.5)]), b.node("Mul", [low, b.scalar(0.5)])]);
}
