/**
 * Every device that this machine has obeys the kernel laws. V8 compiles WebAssembly twice, quickly at first and well
 * once it is hot; the flag makes it hot after little work, so that the laws see both kinds of code.
 */
import { setFlagsFromString } from "node:v8";
import { nodeHost } from "../../src/node/host.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { createWasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { casesHere } from "../support/cases-here.js";
import { describeKernelLaws } from "./kernels.js";

setFlagsFromString("--wasm-tiering-budget=7000");

/** exp: the polynomial, the reduction and the scaling, 2 units each. Φ: half of erf's 2^-22, and its roundings. */
const WASM = { exp: 6, cdf: 2 ** -22, integerProducts: "exact" } as const;

for (const build of ["portable", "relaxed"] as const) {
  describeKernelLaws(`wasm, ${build}`, () => createWasmDevice({ build, host: nodeHost }), WASM, {
    runs: casesHere(40),
    hot: casesHere(20),
  });
}
// Being the oracle of all laws, the reference is hot long before its own, and it agrees with itself if it gives the
// same bits twice: a few cases show that, at first and at last.
describeKernelLaws(
  "reference",
  () => Promise.resolve(createReferenceDevice()),
  { exp: 1, cdf: 2 ** -24, integerProducts: "float32" },
  { runs: casesHere(10), hot: 0 },
);
