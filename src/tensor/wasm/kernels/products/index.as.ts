/** What other kernels, and the list of exports, use of the products. */
export { blockBytes } from "./blocked.as";
export { linearInt8 } from "./bytes.as";
export { coarseBounds, coarseStateBytes, hasDots, packCoarse } from "./coarse.as";
export { streamBytes } from "./few-rows.as";
export { mayBeLargest } from "./largest.as";
export { packBfloat16, packFloat32, packInt8, packMatrix, packTransposed, unpackRows } from "./panels.as";
export { linear, matmul } from "./products.as";
export { setScratch, tile1x16, tile2x16, tileRows } from "./tiles.as";
