import { existsSync } from "node:fs";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";
import { chromiumFlags, chromiumPath, hardwareFlags } from "./test/support/chromium.js";

if (!existsSync(chromiumPath)) {
  throw new Error(
    `${chromiumPath} does not exist: the browser suite needs Debian's Chromium (apt-get install chromium)`,
  );
}

/** Cross-origin isolation: what SharedArrayBuffer, and so threads, need. */
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** The adapter that test/browser/gpu.test.ts asks for; the other suites need none. */
const gpuAdapter: "hardware" | "software" = process.env["GPU_ADAPTER"] === "hardware" ? "hardware" : "software";

/** Tests that run in Debian's Chromium: on a page that is cross-origin isolated, and on a plain one. */
const project = (name: string, include: string[], headers: Readonly<Record<string, string>>) => ({
  resolve: { ...base.resolve },
  server: { headers },
  test: {
    name,
    include,
    testTimeout: 60_000,
    provide: { gpuAdapter },
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          executablePath: chromiumPath,
          args: [...(gpuAdapter === "hardware" ? hardwareFlags : chromiumFlags)],
        },
      }),
      instances: [{ browser: "chromium" as const }],
    },
  },
});

export default defineConfig({
  test: {
    projects: [
      project("isolated page", ["test/browser/*.test.ts"], isolation),
      project("plain page", ["test/browser/plain/*.test.ts"], {}),
    ],
  },
});
