/** What other kernels, and the list of exports, use of the products. */
export { blockBytes } from "./blocked.as";
export { streamBytes } from "./few-rows.as";
export {
  halfOffset,
  packBfloat16,
  packFloat32,
  packMatrix,
  packTransposed,
  panelBytes,
  roundToHalf,
  unpackHalves,
  unpackRows,
} from "./panels.as";
export {
  constants,
  DOT,
  dot,
  dotPair,
  EXACT,
  integersAt,
  integerWorkBytes,
  linearIntegers,
  ONES,
  packIntegers,
  PAIRS,
  probeDots,
  quantizedBytes,
  quantizeIntegers,
  roundBytes,
  setWay,
} from "./integers/index.as";
export { linear, linearAt, matmul } from "./products.as";
export { copyColumns, scratch, setScratch, tile1x16, tile2x16, tileRows } from "./tiles.as";
export { setWide, tile4x16, wide } from "./wide.as";
