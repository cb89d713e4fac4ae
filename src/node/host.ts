/** Node's side of `Host`: the performance clock, and the V8 flag that Node 20 wants before it compiles fused multiply-adds. */
import { setFlagsFromString } from "node:v8";
import type { Host } from "../tensor/host.js";

export const nodeHost: Host = {
  now: () => performance.now(),
  // Node 22 and later have it on and never ask. Must come before the first module that uses it is compiled.
  enableRelaxedSimd: () => setFlagsFromString("--experimental-wasm-relaxed-simd"),
};
