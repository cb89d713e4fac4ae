/** What other kernels, and the list of exports, use of the products. */
export { linearInt8 } from "./bytes.as";
export { packBfloat16, packFloat32, packInt8, packMatrix, packTransposed, unpackRows } from "./panels.as";
export { blockBytes, linear, matmul, streamBytes } from "./products.as";
export { setScratch, tile1x16, tile2x16, tileRows } from "./tiles.as";
