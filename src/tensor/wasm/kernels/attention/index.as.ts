/** What the list of exports uses of attention. */
export { attention, attentionWorkBytes, cacheAttention } from "./attention.as";
export { attentionBackward } from "./backward.as";
export { cacheRead, cacheWrite, keyBytes, valueBytes } from "./cache.as";
export { rope } from "./rope.as";
export { roomBytes } from "./stored.as";
