import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

/**
 * The built package from outside: its size, its tarball in an empty folder, bundled and on a plain page, and the
 * examples. One file at a time: they work in dist, which another packs.
 */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/package/**/*.test.ts"],
    exclude: [],
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
