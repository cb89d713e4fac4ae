/**
 * One project per suite: `vitest run --project NAME`. A suite fails, and never skips, where something that it needs is
 * missing (Chromium, a GPU adapter, ../shared).
 */
import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { chromiumFlags, chromiumPath, hardwareFlags } from "./test/support/chromium.js";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The adapter that GPU suites ask for. */
const gpuAdapter: "hardware" | "software" = process.env["GPU_ADAPTER"] === "hardware" ? "hardware" : "software";

const minutes = (count: number): number => count * 60_000;

const setupFiles = ["test/support/equal-bits.ts"];

interface NodeSuite {
  /** Folders of test/ that the suite has to itself. */
  readonly folders: readonly string[];
  /** Of one test or hook, in milliseconds. */
  readonly timeout: number;
  /** @default 2 */
  readonly maxWorkers?: number;
  /** Whether files may run at the same time. @default true */
  readonly fileParallelism?: boolean;
  /** Whether each file has a process, and with it modules of the library, of its own. @default true */
  readonly isolate?: boolean;
}

/** Suites beside the unit tests, which are all other files of test/. */
const suites = {
  /** The command line, command by command: most of them train or calibrate. */
  commands: { folders: ["cli/commands"], timeout: minutes(3), isolate: false },
  /** Programs of docs/ that train for long, and the walks of docs/architecture.md, traced. */
  docs: { folders: ["docs/programs"], timeout: minutes(5) },
  /** Checks against ../shared/fixtures. */
  fixtures: { folders: ["fixtures"], timeout: minutes(10) },
  /** Memory, processor time and processes of their own; commands on hostile files and bad disks, or killed. */
  resources: { folders: ["resources", "lab/torture"], timeout: minutes(3) },
  /** The GPU device in Node, on WebGPU: GPU_ADAPTER=hardware, or a software one (mesa-vulkan-drivers, libvulkan1). */
  gpu: { folders: ["gpu"], timeout: minutes(10), maxWorkers: 1 },
  /** The built package from outside. One file at a time: they work in dist, which another packs. */
  package: { folders: ["package"], timeout: minutes(4), fileParallelism: false },
  /**
   * The recipes in deploy/ with the built command line: on a real Slurm of one node (slurm-wlm, munge, as root), and
   * under GNU parallel.
   */
  deploy: { folders: ["deploy"], timeout: minutes(10), maxWorkers: 1, fileParallelism: false },
  /** Exports in other runtimes, which test/runtimes/package.json installs. */
  runtimes: { folders: ["runtimes"], timeout: minutes(2) },
  /** The built playground in Chromium, served from a path of its own as any static host would. */
  playground: { folders: ["playground"], timeout: minutes(2), maxWorkers: 1 },
  /** The built site in Chromium, below a path of its host. */
  site: { folders: ["site"], timeout: minutes(5), maxWorkers: 1 },
} as const satisfies Readonly<Record<string, NodeSuite>>;

function nodeProject(
  name: string,
  { folders, timeout, maxWorkers = 2, fileParallelism = true, isolate = true }: NodeSuite,
) {
  return {
    extends: true as const,
    test: {
      name,
      include: folders.map((folder) => `test/${folder}/**/*.test.ts`),
      testTimeout: timeout,
      hookTimeout: timeout,
      teardownTimeout: minutes(1),
      setupFiles,
      maxWorkers,
      fileParallelism,
      isolate,
    },
  };
}

/** Tests in Debian's Chromium, on pages that are served with the given headers. */
function browserProject(name: string, include: string, headers: Readonly<Record<string, string>>) {
  return {
    extends: true as const,
    server: { headers },
    test: {
      name,
      include: [include],
      testTimeout: minutes(1),
      globalSetup: ["test/support/chromium.ts"],
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
  };
}

/** Cross-origin isolation: what SharedArrayBuffer, and so threads, need. */
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/**
 * Unit tests that need a process of their own: they set flags of the engine, replace modules of Node or load those of
 * the library anew, start threads, or measure time. All others share the processes, and with them the modules of the
 * library, which would otherwise be loaded once per file.
 */
const apart = [
  "laws/kernels",
  "node/folder-transaction",
  "tensor/formats/malformed",
  "tensor/wasm/choose-way",
  "tensor/wasm/threads",
  "turns",
].map((path) => `test/${path}.test.ts`);

/** Files with a process of their own first: the longest file is among them, and would be the last to end. */
class ApartFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => Number(b.project.config.isolate) - Number(a.project.config.isolate));
  }
}

function unitProject(name: string, include: readonly string[], exclude: readonly string[], isolate: boolean) {
  return {
    extends: true as const,
    test: {
      name,
      include: [...include],
      exclude: [...exclude],
      isolate,
      setupFiles,
      testTimeout: minutes(3),
      hookTimeout: minutes(3),
      maxWorkers: 3,
    },
  };
}

const elsewhere = [...Object.values(suites).flatMap(({ folders }) => folders), "browser"].map(
  (folder) => `test/${folder}/**`,
);

export default defineConfig({
  resolve: {
    alias: [
      { find: /^early-exits$/, replacement: source("src/index.ts") },
      { find: /^early-exits\/(serve|export)$/, replacement: source("apps/$1/index.ts") },
      { find: /^early-exits\/(\w+)$/, replacement: source("src/$1/index.ts") },
    ],
  },
  test: {
    pool: "forks",
    sequence: { sequencer: ApartFirst },
    projects: [
      unitProject("unit", ["test/**/*.test.ts"], [...elsewhere, ...apart], false),
      unitProject("unit-apart", apart, elsewhere, true),
      ...Object.entries(suites).map(([name, suite]) => nodeProject(name, suite)),
      browserProject("isolated page", "test/browser/*.test.ts", isolation),
      browserProject("plain page", "test/browser/plain/*.test.ts", {}),
    ],
  },
});
