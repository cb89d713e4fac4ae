/** The kernel laws of test/laws in a page: both builds run here, whatever the engine tiers up. */
import { createWasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { browserHost } from "../../src/browser/host.js";
import { describeKernelLaws } from "../laws/kernels.js";

/** As in test/laws/kernels.test.ts. */
const WASM = { exp: 6, cdf: 2 ** -22, integerProducts: "exact" } as const;

for (const build of ["portable", "relaxed"] as const) {
  describeKernelLaws(`wasm in a page, ${build}`, () => createWasmDevice({ build, host: browserHost() }), WASM);
}
