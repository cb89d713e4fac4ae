/** What the list of exports uses of screening. */
export { coarseBounds, coarseStateBytes, hasDots, packCoarse } from "./coarse.as";
export { largest, mayBeLargest } from "./largest.as";
