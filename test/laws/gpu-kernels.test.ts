/**
 * The kernel laws on gpu.js's own fallbacks, which need no graphics driver: they hold the kernels' formulas to the
 * reference. What a GPU makes of them is tested with one (test/gpu, test/browser). Compiling dominates, so cases are
 * fewer.
 */
import { nodeHost } from "../../src/node/host.js";
import { createGpuDevice } from "../../src/tensor/gpu/gpu-device.js";
import { casesHere } from "../support/cases-here.js";
import { describeKernelLaws } from "./kernels.js";

/** exp is Math.exp, rounded once or twice. Φ: half of the 1.5e-7 of Abramowitz & Stegun 7.1.26, and ten roundings. */
const FALLBACK = { exp: 4, cdf: 0.75e-7 + 10 * 2 ** -24, integerProducts: "float32" } as const;

describeKernelLaws("gpu, gpu.js cpu", () => createGpuDevice({ mode: "cpu", host: nodeHost }), FALLBACK, {
  runs: casesHere(8),
  hot: 0,
});
describeKernelLaws("gpu, gpu.js webasm", () => createGpuDevice({ mode: "webasm", host: nodeHost }), FALLBACK, {
  runs: casesHere(4),
  hot: 0,
});
