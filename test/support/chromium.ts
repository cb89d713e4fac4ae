/**
 * Debian's Chromium, which the browser, playground and package suites drive. As a global setup of vitest this file
 * fails a suite before anything starts if Chromium is missing.
 */
import { existsSync } from "node:fs";
import { chromium } from "playwright";

export const chromiumPath = "/usr/bin/chromium";

/** Software rendering by name, so that nothing depends on the machine's graphics; root needs --no-sandbox. */
export const chromiumFlags = [
  "--no-sandbox",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
] as const;

/** The machine's own GPU over Vulkan, without a screen, for `npm run gpu-report`. */
export const hardwareFlags = [
  "--no-sandbox",
  "--ignore-gpu-blocklist",
  "--enable-unsafe-webgpu",
  "--use-angle=vulkan",
  "--enable-features=Vulkan",
  "--disable-vulkan-surface",
] as const;

export function launchChromium() {
  return chromium.launch({ executablePath: chromiumPath, args: [...chromiumFlags] });
}

/** Called by vitest. */
export function setup() {
  if (!existsSync(chromiumPath)) {
    throw new Error(`${chromiumPath} does not exist: this suite needs Debian's Chromium (apt-get install chromium)`);
  }
}
