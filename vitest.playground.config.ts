import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

/** The built playground in Debian's Chromium, served from a path of its own as any static host would. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/playground/**/*.test.ts"],
    exclude: [],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
});
