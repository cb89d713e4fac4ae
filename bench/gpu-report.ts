/**
 * `npm run gpu-report [-- --adapter software] [--out FOLDER]`: everything about the GPU device on this machine in one
 * command: WebGPU in Node, WebGPU and WebGL2 in Chromium. Each of these places runs the GPU suite (kernel laws and
 * traps; in Node whole models too), and times prefill, decoding and a head's training step beside the wasm device of
 * the same place. Adapters, drivers and figures go to bench/reports/gpu-<adapter>.{md,json}, and so does the reason if
 * a place could not run. The figures of a software adapter are those of a rasteriser on the CPU: they are marked
 * "correctness only", the model is small, and no speed-up is computed from them.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { createDevice, readModel } from "early-exits/node";
import { type Browser, chromium } from "playwright";
import { createServer, type ViteDevServer } from "vite";
import { nodeHost } from "../src/node/host.js";
import { createGpuDevice } from "../src/tensor/gpu/gpu-device.js";
import { chromiumFlags, chromiumPath, hardwareFlags } from "../test/support/chromium.js";
import base from "../vitest.config.js";
import { describeMachine, machine } from "../lab/report/machine.js";
import { type Report, toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { modelFolder } from "../lab/ship/embedded.js";
import { type GpuPlace, gpuTables } from "../lab/speed/gpu-tables.js";
import { type GpuTimings, timeGpu } from "../lab/speed/device-timings.js";
import type { timeInPage } from "../lab/speed/gpu-page.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
  options: {
    adapter: { type: "string", default: "hardware" },
    out: { type: "string", default: reportsFolder },
  },
});
const adapter = options.adapter === "software" ? "software" : "hardware";
const where = machine();
console.error(describeMachine(where));

/** Headers of an isolated page, which has finer clocks. */
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** The page: nothing but the script. */
const emptyPage = {
  name: "gpu-page",
  configureServer: ({ middlewares }: ViteDevServer): void =>
    void middlewares.use("/gpu-page.html", (_request, response) => {
      response.writeHead(200, { "Content-Type": "text/html", ...isolation });
      response.end('<!doctype html><script type="module" src="/lab/speed/gpu-page.ts"></script>');
    }),
};

const places: GpuPlace[] = [
  await visit("WebGPU in Node", ["--project", "gpu"], async () => {
    const gpu = await createGpuDevice({ mode: "webgpu", adapter, host: nodeHost });
    const cpu = await createDevice("wasm");
    const timings = await timeGpu(gpu, cpu, (device) => readModel(modelFolder("sotu-6"), { device }));
    await gpu.dispose();
    await cpu.dispose();
    return timings;
  }),
  ...(await visitChromium()),
];

async function visitChromium(): Promise<GpuPlace[]> {
  const modes = [
    ["webgpu", "WebGPU in Chromium"],
    ["webgl2", "WebGL2 in Chromium"],
  ] as const;
  if (!existsSync(chromiumPath)) {
    return modes.map(([, name]) => ({
      name,
      reason: `${chromiumPath} does not exist (Debian: apt-get install chromium)`,
    }));
  }
  const cacheDir = await mkdtemp(join(tmpdir(), "gpu-report-"));
  const server = await createServer({
    configFile: false,
    root,
    cacheDir,
    logLevel: "error",
    resolve: { ...base.resolve },
    server: { headers: isolation },
    plugins: [emptyPage],
    // Dependencies are bundled before: one that is found later would reload the page.
    optimizeDeps: { noDiscovery: true, include: ["gpu.js", "tinybench", "@huggingface/tokenizers"] },
  });
  await server.listen();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: [...(adapter === "hardware" ? hardwareFlags : chromiumFlags)],
  });
  const visited: GpuPlace[] = [];
  for (const [mode, name] of modes) {
    visited.push(
      await visit(
        `${name} ${browser.version()}`,
        ["--project", "isolated page", "test/browser/gpu.test.ts", "-t", mode],
        () => inPage(browser, server, mode),
      ),
    );
  }
  await browser.close();
  await server.close();
  await rm(cacheDir, { recursive: true, force: true });
  return visited;
}

/** Opens a page that loads gpu-page.ts, and times there. */
async function inPage(
  browser: Browser,
  server: ViteDevServer,
  mode: Parameters<typeof timeInPage>[0],
): Promise<GpuTimings> {
  const page = await browser.newPage();
  try {
    await page.goto(`${server.resolvedUrls!.local[0]!}gpu-page.html`);
    await page.waitForFunction(() => "timeInPage" in globalThis);
    return await page.evaluate(
      ([mode, adapter]) => (globalThis as unknown as { timeInPage: typeof timeInPage }).timeInPage(mode, adapter),
      [mode, adapter] as const,
    );
  } finally {
    await page.close();
  }
}

/** Times a place, then runs its tests. A place without an adapter goes into the report with its reason. */
async function visit(name: string, suite: readonly string[], time: () => Promise<GpuTimings>): Promise<GpuPlace> {
  console.error(`${name}: figures`);
  let timings: GpuTimings;
  try {
    timings = await time();
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error))
      .split("\n")[0]!
      .replace(/^page\.evaluate: (?:\w+: )?/, "");
    console.error(`${name}: did not run: ${reason}`);
    return { name, reason };
  }
  console.error(`${name}: ${timings.info.description}; the GPU suite`);
  const run = spawnSync("npx", ["vitest", "run", ...suite], {
    cwd: root,
    env: { ...process.env, GPU_ADAPTER: adapter },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 2 ** 26,
  });
  // "Tests  1 failed | 90 passed | 93 skipped (184)"; the skipped ones are those of the other mode.
  const counted = /^\s*Tests\s+(.*)$/m.exec(stripVTControlCharacters(run.stdout))?.[1] ?? "";
  const summary = counted
    .split("|")
    .map((part) => part.replace(/\(.*/, "").trim())
    .filter((part) => !part.endsWith("skipped"))
    .join(", ");
  if (run.status !== 0) console.error(run.stdout);
  console.error(`${name}: ${summary}`);
  return { name, timings, suite: { passed: run.status === 0, summary } };
}

const ran = places.filter((place) => "timings" in place);
const [first] = ran;
if (first === undefined) {
  const reasons = places.map((place) => `${place.name}: ${"reason" in place ? place.reason : ""}`);
  throw new Error(`gpu-report: no ${adapter} adapter anywhere: ${reasons.join("; ")}`);
}
const { hardware } = first.timings.info;

// The name of the card, without its driver.
const slug = first.timings.info.adapter
  .replace(/ \(.*$/, "")
  .toLowerCase()
  .replace(/[^a-z0-9]+/g, "-")
  .replace(/^-|-$/g, "");
const report: Report = {
  name: `gpu-${slug}`,
  title: `The GPU device on ${first.timings.info.adapter}${hardware ? "" : " (software adapters: correctness only)"}`,
  machine: where,
  data: { adapter, places },
  tables: gpuTables(places, hardware),
};
await writeReport(options.out, report);
console.log(toMarkdown(report));
process.exitCode = ran.every(({ suite }) => suite.passed) ? 0 : 1;
