/**
 * What a product with integer weights does to its input, as ONNX nodes: each group of 32 values of a row is rounded to
 * integers a = round(x / t), ties to even, and the product is that of a · t with the values that the weights stand for
 * (tensor/reference/integer-products.ts). A graph multiplies them in float32; only the order of sums differs.
 *   t = max |x| / top per group; top is 63 beside eight bits, 127 beside four; 128 and 256 times that in wide groups,
 *   whose largest value exceeds 1.2 times the mean of their row's
 */
import type { PackedDtype } from "../tensor/index.js";
import type { GraphBuilder } from "./graph-builder.js";

const GROUP = 32;
const WIDE = 1.2;
/** Smaller groups count as zero. */
const SMALLEST = 2 ** -110;

/** The factors by which rows beside weights of a dtype are rounded; undefined if they are not. */
export function roundingOf(dtype: PackedDtype): { readonly top: number; readonly wideTop: number } | undefined {
  switch (dtype) {
    case "float32":
    case "bfloat16":
      return undefined;
    case "int8":
      return { top: 63, wideTop: 63 * 128 };
    case "int4":
    case "int4-floats":
      return { top: 127, wideTop: 127 * 256 };
  }
}

/** x [R, K] -> a · t [R, K]. */
export function roundRows(
  b: GraphBuilder,
  x: string,
  columns: number,
  { top, wideTop }: { readonly top: number; readonly wideTop: number },
): string {
  const groups = Math.ceil(columns / GROUP);
  const missing = groups * GROUP - columns;
  const padded = missing === 0 ? x : b.node("Pad", [x, b.int64(0, 0, 0, missing)]);
  const grouped = b.node("Reshape", [padded, b.int64(-1, groups, GROUP)]); // [R, G, 32]
  const keep = { attributes: { keepdims: 1 } };
  const largest = b.node("ReduceMax", [b.node("Abs", [grouped]), b.int64(2)], keep); // [R, G, 1]
  const total = b.node("ReduceSum", [largest, b.int64(1)], keep); // [R, 1, 1]
  const wide = b.node("Greater", [b.node("Mul", [largest, b.scalar(groups)]), b.node("Mul", [total, b.scalar(WIDE)])]);
  const tops = b.node("Where", [wide, b.scalar(wideTop), b.scalar(top)]); // [R, G, 1]
  const counts = b.node("GreaterOrEqual", [largest, b.scalar(SMALLEST)]);
  const divisor = b.node("Where", [counts, largest, b.scalar(1)]);
  const integers = b.node("Round", [b.node("Mul", [grouped, b.node("Div", [tops, divisor])])]);
  const step = b.node("Where", [counts, b.node("Div", [largest, tops]), b.scalar(0)]);
  const rounded = b.node("Reshape", [b.node("Mul", [integers, step]), b.int64(-1, groups * GROUP)]);
  if (missing === 0) return rounded;
  return b.node("Slice", [rounded, b.int64(0), b.int64(columns), b.int64(1)]);
}
