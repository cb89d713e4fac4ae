/** Debian's Chromium, which the browser, playground and package suites drive. They fail where it is missing. */
export const chromiumPath = "/usr/bin/chromium";

/** Software rendering by name, so that nothing depends on the machine's graphics; root needs --no-sandbox. */
export const chromiumFlags = [
  "--no-sandbox",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
] as const;

/** The machine's own GPU, by Vulkan, without a screen: for `npm run gpu-report`. */
export const hardwareFlags = [
  "--no-sandbox",
  "--ignore-gpu-blocklist",
  "--enable-unsafe-webgpu",
  "--use-angle=vulkan",
  "--enable-features=Vulkan",
  "--disable-vulkan-surface",
] as const;
