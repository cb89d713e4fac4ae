/** The kernel laws of test/laws in a page: both builds run here, whatever the engine tiers up. */
import { createWasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { browserHost } from "../../src/browser/host.js";
import { describeKernelLaws } from "../laws/kernels.js";

/** As in test/laws/kernels.test.ts. */
const WASM = { exp: 6, cdf: 2 ** -22, integerProducts: "exact" } as const;

describeKernelLaws(
  "wasm in a page, portable",
  () => createWasmDevice({ build: "portable", host: browserHost() }),
  WASM,
);
describeKernelLaws("wasm in a page, relaxed", () => createWasmDevice({ build: "relaxed", host: browserHost() }), WASM);
