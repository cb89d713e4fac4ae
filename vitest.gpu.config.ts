import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

/**
 * The GPU device on this machine's WebGPU adapter in Node: hardware with GPU_ADAPTER=hardware, else a software one
 * (Debian: mesa-vulkan-drivers libvulkan1). The tests fail, never skip, where the adapter is missing or gpu.js fell
 * back.
 */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/gpu/**/*.test.ts"],
    exclude: [],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    teardownTimeout: 60_000,
    maxWorkers: 1,
  },
});
