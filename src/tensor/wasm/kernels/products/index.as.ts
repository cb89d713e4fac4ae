/** What other kernels, and the list of exports, use of the products. */
export { blockBytes } from "./blocked.as";
export { linearInt8 } from "./bytes.as";
export { streamBytes } from "./few-rows.as";
export {
  halfOffset,
  packBfloat16,
  packFloat32,
  packInt8,
  packMatrix,
  packTransposed,
  roundToHalf,
  unpackHalves,
  unpackRows,
} from "./panels.as";
export { linear, matmul } from "./products.as";
export { setScratch, tile1x16, tile2x16, tileRows } from "./tiles.as";
