/**
 * `npm run gpu-report [-- --adapter software]`: everything about the GPU device on this machine in one command: WebGPU
 * in Node, WebGPU and WebGL2 in Chromium. In each place the GPU suite runs (kernel laws and traps; in Node whole models
 * too), then prefill, decoding and a head's training step are timed beside the wasm device of the same place. Adapters,
 * drivers and figures go to bench/reports/gpu-<adapter>.md and .json, and so does the reason of what could not run. On
 * a software adapter the figures are those of a rasteriser on the CPU: they are marked "correctness only", the model is
 * small, and no speedup is computed from them.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDevice, readModel } from "early-exits/node";
import { type Browser, chromium } from "playwright";
import { createServer, type ViteDevServer } from "vite";
import { nodeHost } from "../src/node/index.js";
import { createGpuDevice } from "../src/tensor/gpu/index.js";
import { chromiumFlags, chromiumPath, hardwareFlags } from "../test/support/chromium.js";
import base from "../vitest.config.js";
import { type DeviceTimings, type GpuTimings, timeGpu, type timeInPage } from "../lab/speed/index.js";
import { describeMachine, machine, type Table, toMarkdown, writeReport } from "../lab/report/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
  options: {
    adapter: { type: "string", default: "hardware" },
    out: { type: "string", default: `${root}bench/reports` },
  },
});
const adapter = options.adapter === "software" ? "software" : "hardware";
const where = machine();
console.error(describeMachine(where));

interface Suite {
  readonly passed: boolean;
  readonly summary: string;
}

/** One place where the GPU device may run: what came of it, or why nothing did. */
type Place = { readonly name: string } & (
  { readonly timings: GpuTimings; readonly suite: Suite } | { readonly reason: string }
);

/** Isolated pages have finer clocks. */
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** What the server answers where the page is: nothing but the script. */
const emptyPage = {
  name: "gpu-page",
  configureServer: ({ middlewares }: ViteDevServer): void =>
    void middlewares.use("/gpu-page.html", (_request, response) => {
      response.writeHead(200, { "Content-Type": "text/html", ...isolation });
      response.end('<!doctype html><script type="module" src="/lab/speed/gpu-page.ts"></script>');
    }),
};

const places: Place[] = [
  await visit("WebGPU in Node", ["--project", "gpu"], async () => {
    const gpu = await createGpuDevice({ mode: "webgpu", adapter, host: nodeHost });
    const cpu = await createDevice("wasm");
    const timings = await timeGpu(gpu, cpu, (device) => readModel(`${root}models/sotu-6`, { device }));
    await gpu.dispose();
    await cpu.dispose();
    return timings;
  }),
  ...(await visitChromium()),
];

async function visitChromium(): Promise<Place[]> {
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
    // dependencies are bundled beforehand: one found later would reload the page
    configFile: false,
    root,
    cacheDir,
    logLevel: "error",
    resolve: { ...base.resolve },
    server: { headers: isolation },
    plugins: [emptyPage],
    optimizeDeps: { noDiscovery: true, include: ["gpu.js", "tinybench", "@huggingface/tokenizers"] },
  });
  await server.listen();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: [...(adapter === "hardware" ? hardwareFlags : chromiumFlags)],
  });
  const visited: Place[] = [];
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

/** A page that loads gpu-page.ts and is asked for its timings. */
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

/** Times a place, then runs its tests. A place without an adapter is no failure of the report: it says so. */
async function visit(name: string, suite: readonly string[], time: () => Promise<GpuTimings>): Promise<Place> {
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
  const [, counted = ""] = /^\s*Tests\s+(.*)$/m.exec(run.stdout.replace(/\u001B\[\d+m/g, "")) ?? [];
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
  throw new Error(
    `gpu-report: no ${adapter} adapter ` +
      `anywhere: ${places.map((place) => `${place.name}: ${"reason" in place ? place.reason : ""}`).join("; ")}`,
  );
}
const { hardware } = first.timings.info;

const cautious = hardware
  ? "Medians; the ratio is to the wasm device (one thread) of the same place in this run, above 1 is faster."
  : "A software adapter: the GPU's programs run on the CPU. These figures say that the code runs, and nothing " +
    "about any GPU.";
const ratio = (gpu: number | undefined, cpu: number | undefined): string =>
  !hardware ? "correctness only" : gpu === undefined || cpu === undefined ? "" : (cpu / gpu).toFixed(2);
const spread = ({ median, lowerQuartile, upperQuartile }: DeviceTimings["training"]): string =>
  `${((100 * (upperQuartile - lowerQuartile)) / median).toFixed(0)} %`;

function inferenceRows(name: string, { cpu, gpu }: GpuTimings): (string | number)[][] {
  const row = (
    device: string,
    { model, prefill, decode, dispatches }: DeviceTimings["models"][number],
    last: string,
  ): (string | number)[] => [
    name,
    model,
    device,
    prefill.median,
    decode.median,
    spread(decode),
    dispatches ?? "",
    last,
  ];
  return [
    ...cpu.models.flatMap((timing) => {
      const other = gpu.models.find(({ model }) => model === timing.model);
      return [
        row("wasm", timing, "1"),
        ...(other === undefined ? [] : [row("gpu", other, ratio(other.decode.median, timing.decode.median))]),
      ];
    }),
    ...gpu.refused.map(({ model, reason }) => [name, model, "gpu", "", "", "", "", reason]),
  ];
}

const tables: Table[] = [
  {
    title: "Where it ran",
    note: (
      "Adapters as their drivers name them (browsers tell less); the class is what gpu.js compiled every kernel " +
      `to. ${hardware ? "" : "All adapters here are software: no GPU was at hand."}`
    ).trim(),
    columns: ["", "adapter", "kind", "kernels", "bytes per array", "GPU suite"],
    rows: places.map((place) =>
      "reason" in place
        ? [place.name, "", "", "", "", `did not run: ${place.reason}`]
        : [
            place.name,
            place.timings.info.adapter,
            place.timings.info.hardware ? "hardware" : "software",
            place.timings.info.kernelClass,
            String(place.timings.info.maxBytes),
            place.suite.passed ? place.suite.summary : `FAILED: ${place.suite.summary}`,
          ],
    ),
  },
  {
    title: "Prefill and decoding",
    note: `${cautious} Batch 1, a prompt of 128 tokens.`,
    columns: [
      "place",
      "model",
      "device",
      "prefill ms",
      "decode ms per token",
      "spread",
      "kernels per token",
      "decode, wasm / this",
    ],
    rows: ran.flatMap(({ name, timings }) => inferenceRows(name, timings)),
  },
  {
    title: "Head training",
    note: `${cautious} One step, ${hardware ? "512 -> 8192" : "256 -> 2048"}, KL, batch 64, AdamW, the loss read back.`,
    columns: ["place", "device", "ms", "spread", "wasm / this"],
    rows: ran.flatMap(({ name, timings: { cpu, gpu } }) => [
      [name, "wasm", cpu.training.median, spread(cpu.training), "1"],
      [name, "gpu", gpu.training.median, spread(gpu.training), ratio(gpu.training.median, cpu.training.median)],
    ]),
  },
];
const slug = first.timings.info.adapter
  .replace(/ \(.*$/, "")
  .toLowerCase()
  .replace(/[^a-z0-9]+/g, "-")
  .replace(/^-|-$/g, ""); // the card, without its driver
const report = {
  name: `gpu-${slug}`,
  title: `The GPU device on ${first.timings.info.adapter}${hardware ? "" : " (software adapters: correctness only)"}`,
  machine: where,
  data: { adapter, places },
  tables,
};
await writeReport(options.out, report);
console.log(toMarkdown(report));
process.exitCode = ran.every(({ suite }) => suite.passed) ? 0 : 1;
