import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

/** Checks against ../shared/fixtures: they fail, never skip, where the folder is absent. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: ["test/fixtures/**/*.test.ts"], exclude: [], testTimeout: 600_000 },
});
