/** Entries and bounds of products without all of the weight. */
export { coarseKernels } from "./coarse.js";
export { largestKernel } from "./largest.js";
export { bytesAt, linearAtKernel } from "./linear-at.js";
