/** Benchmarks of kernels, inference, threads and training. */
export { type DeviceTimings, type GpuTimings, timeGpu } from "./device-timings.js";
export { timeInPage } from "./gpu-page.js";
export { timeHeadTraining } from "./head-training.js";
export { type InferenceTiming, instrumented, PROMPT, timeInference } from "./inference.js";
export { fewRowsTable, kernelTable, type KernelTiming, timeKernels } from "./kernels.js";
export { measureLimits } from "./limits.js";
export { benchShapes, randomModel } from "./models.js";
export { threadTable, type ThreadTiming, timeThreads } from "./threads.js";
export { drain, type Timing, timingOf } from "./timing.js";
