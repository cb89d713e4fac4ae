/**
 * Kernels of the wasm device compared with the limits of this machine, measured in the same run: memory read bandwidth,
 * and the peak of 128-bit multiply-adds. `npx tsx lab/speed/kernels.ts [portable] [name …]` prints the tables alone;
 * `npm run bench` puts them into the report.
 */
import { nodeHost } from "../../src/node/host.js";
import type { Device } from "../../src/tensor/index.js";
import { createWasmDevice } from "../../src/tensor/wasm/wasm-device.js";
import { isMain } from "../report/script.js";
import { machine } from "../report/machine.js";
import { toMarkdown } from "../report/report.js";
import { kernelCases } from "./kernel-cases.js";
import { kernelTables, type KernelTiming } from "./kernel-tables.js";
import { type Limits, measureLimits } from "./limits.js";
import { measure } from "./timing.js";

/** Times every kernel whose name contains one of `filters`, or all kernels if there are none, one after another. */
export async function* timeKernels(
  device: Device,
  { read, multiplyAdd }: Limits,
  filters: readonly string[] = [],
): AsyncGenerator<KernelTiming> {
  let oneRow = NaN;
  for (const { name, flops, bytes, rows, run } of kernelCases(device)) {
    if (filters.length > 0 && !filters.some((filter) => name.includes(filter))) continue;
    const timing = await measure(name, run);
    if (rows === 1) oneRow = timing.median;
    const gflops = (flops ?? NaN) / timing.median / 1e6;
    const gbps = (bytes ?? NaN) / timing.median / 1e6;
    yield {
      name,
      threads: device.info.threads,
      ...timing,
      ...(flops !== undefined && { gflops, peakShare: gflops / multiplyAdd }),
      ...(bytes !== undefined && { gbps, readShare: gbps / read }),
      ...(rows !== undefined && {
        rows,
        perRow: timing.median / rows / oneRow,
        perRowLimit: flops! / rows / multiplyAdd / 1e6 / oneRow,
      }),
    };
  }
}

async function main(wishes: readonly string[]): Promise<void> {
  const build = wishes.includes("portable") ? "portable" : "auto";
  const filters = wishes.filter((wish) => wish !== "portable");
  const device = await createWasmDevice({ build, host: nodeHost });
  const where = machine();
  const limits = await measureLimits(build === "portable" ? build : undefined);
  const timings: KernelTiming[] = [];
  for await (const timing of timeKernels(device, limits, filters)) timings.push(timing);
  console.log(
    toMarkdown({
      name: "kernels",
      title: `Kernels: ${device.info.description}`,
      machine: where,
      data: { limits, timings },
      tables: kernelTables(timings),
    }),
  );
  await device.dispose();
}

if (isMain(import.meta.url)) await main(process.argv.slice(2));
