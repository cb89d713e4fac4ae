/** Benchmarks of kernels, inference, threads and training. */
export { type GpuTimings, timeGpu } from "./device-timings.js";
export { timeInPage } from "./gpu-page.js";
export { type GpuPlace, gpuTables } from "./gpu-tables.js";
export { timeHeadTraining } from "./head-training.js";
export { instrumented, PROMPT, timeInference } from "./inference.js";
export {
  type InferenceRun,
  inferenceTable,
  limitsTable,
  runLabel,
  type TrainingRun,
  trainingTable,
} from "./inference-tables.js";
export { kernelTables, type KernelTiming } from "./kernel-tables.js";
export { timeKernels } from "./kernels.js";
export { measureLimits } from "./limits.js";
export { benchShapes, randomModel } from "./models.js";
export { threadTable, type ThreadTiming, timeThreads } from "./threads.js";
export { drain, type Timing, timingOf } from "./timing.js";
