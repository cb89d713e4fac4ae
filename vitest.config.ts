import { defineConfig } from "vitest/config";

const source = (path: string): string => new URL(`./src/${path}`, import.meta.url).pathname;

export default defineConfig({
  resolve: {
    alias: [
      { find: /^early-exits$/, replacement: source("index.ts") },
      { find: /^early-exits\/browser$/, replacement: source("browser/index.ts") },
      { find: /^early-exits\/node$/, replacement: source("node/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/fixtures/**", "test/browser/**", "test/gpu/**", "test/package/**", "test/playground/**"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
