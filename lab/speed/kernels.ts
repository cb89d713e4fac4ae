/**
 * Kernels of the wasm device compared with the limits of this machine, measured in the same run: memory read bandwidth,
 * and the peak of 128-bit multiply-adds. `npm run bench` prints the tables and puts them into the report.
 */
import type { Device } from "../../src/tensor/index.js";
import { kernelCases } from "./kernel-cases.js";
import type { KernelTiming } from "./kernel-tables.js";
import type { Limits } from "./limits.js";
import { measure } from "./timing.js";

/** Times every kernel whose name contains one of `filters`, or all kernels if there are none, one after another. */
export async function* timeKernels(device: Device, { read, multiplyAdd }: Limits): AsyncGenerator<KernelTiming> {
  let oneRow = NaN;
  for (const { name, flops, bytes, rows, run } of kernelCases(device)) {
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
