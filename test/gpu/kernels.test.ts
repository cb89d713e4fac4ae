/**
 * The kernel laws on WebGPU. WGSL promises exp to 3 + 2|x| units in the last place; |x| <= 88.7 where it neither
 * overflows nor vanishes. Φ is a polynomial times such an exponential, at most 1/2: half of Abramowitz & Stegun's
 * 1.5e-7, the exponential's error where v·e^(-v²/2) is largest, and twenty roundings and divisions.
 */
import { describeKernelLaws } from "../laws/kernels.js";
import { UNIT } from "../laws/kernels/law.js";
import { createWebGpu, wish } from "./webgpu.js";

const WEBGPU = { exp: 2 * (3 + 2 * 88.7), cdf: 0.75e-7 + 20 * UNIT, integerProducts: "float32" } as const;

describeKernelLaws(`gpu, ${wish} WebGPU`, createWebGpu, WEBGPU, { runs: 25, hot: 0 });
