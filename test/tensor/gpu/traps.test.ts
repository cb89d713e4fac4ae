/** The traps on gpu.js's own fallbacks; on GPUs they are in test/gpu and test/browser. */
import { nodeHost } from "../../../src/node/host.js";
import { createGpuDevice } from "../../../src/tensor/gpu/gpu-device.js";
import { describeGpuTraps } from "../../support/gpu-traps.js";

for (const mode of ["cpu", "webasm"] as const) describeGpuTraps(mode, () => createGpuDevice({ mode, host: nodeHost }));
