/** The tables of `npm run gpu-report`: where the GPU device ran, and how fast, beside the wasm device. */
import { prose } from "../report/prose.js";
import { spread } from "../report/format.js";
import type { Table } from "../report/report.js";
import type { GpuTimings, ModelTiming } from "./device-timings.js";

/** The outcome of the GPU test suite. */
interface SuiteOutcome {
  readonly passed: boolean;
  readonly summary: string;
}

/** A place where the GPU device ran. */
interface GpuRun {
  readonly name: string;
  readonly timings: GpuTimings;
  readonly suite: SuiteOutcome;
}

/** A place where it may run, with its results or the reason why there are none. */
export type GpuPlace = GpuRun | { readonly name: string; readonly reason: string };

/** `hardware`: whether the adapters are GPUs; speed-ups are left out if they are not. */
export function gpuTables(places: readonly GpuPlace[], hardware: boolean): Table[] {
  const ran = places.filter((place) => "timings" in place);
  return [placesTable(places, hardware), inferenceTable(ran, hardware), trainingTable(ran, hardware)];
}

function placesTable(places: readonly GpuPlace[], hardware: boolean): Table {
  return {
    title: "Where it ran",
    note: prose`
      Adapters as their drivers name them (browsers reveal less); the class is the one that gpu.js compiled every kernel
      to. ${hardware ? "" : "All adapters here are software: no GPU was available."}`,
    columns: ["", "adapter", "kind", "kernels", "bytes per array", "GPU suite"],
    rows: places.map((place) => {
      if ("reason" in place) return [place.name, "", "", "", "", `did not run: ${place.reason}`];
      const { info } = place.timings;
      const { passed, summary } = place.suite;
      return [
        place.name,
        info.adapter,
        info.hardware ? "hardware" : "software",
        info.kernelClass,
        String(info.maxBytes),
        passed ? summary : `FAILED: ${summary}`,
      ];
    }),
  };
}

function inferenceTable(ran: readonly GpuRun[], hardware: boolean): Table {
  return {
    title: "Prefill and decoding",
    note: `${cautionOf(hardware)} Batch 1, a prompt of 128 tokens.`,
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
    rows: ran.flatMap(({ name, timings: { cpu, gpu } }) => [
      ...cpu.models.flatMap((timing) => {
        const same = gpu.models.find(({ model }) => model === timing.model);
        const onGpu =
          same === undefined
            ? []
            : [inferenceRow(name, "gpu", same, ratio(hardware, timing.decode.median / same.decode.median))];
        return [inferenceRow(name, "wasm", timing, "1"), ...onGpu];
      }),
      ...gpu.refused.map(({ model, reason }) => [name, model, "gpu", "", "", "", "", reason]),
    ]),
  };
}

function inferenceRow(
  place: string,
  device: string,
  { model, prefill, decode, dispatches }: ModelTiming,
  last: string,
): (string | number)[] {
  return [place, model, device, prefill.median, decode.median, spread(decode), dispatches ?? "", last];
}

function trainingTable(ran: readonly GpuRun[], hardware: boolean): Table {
  const shape = hardware ? "512 -> 8192" : "256 -> 2048";
  return {
    title: "Head training",
    note: `${cautionOf(hardware)} One step, ${shape}, KL, batch 64, AdamW, and reading the loss back.`,
    columns: ["place", "device", "ms", "spread", "wasm / this"],
    rows: ran.flatMap(({ name, timings: { cpu, gpu } }) => [
      [name, "wasm", cpu.training.median, spread(cpu.training), "1"],
      [
        name,
        "gpu",
        gpu.training.median,
        spread(gpu.training),
        ratio(hardware, cpu.training.median / gpu.training.median),
      ],
    ]),
  };
}

const cautionOf = (hardware: boolean): string =>
  hardware
    ? prose`Medians; the ratio is to the wasm device (one thread) of the same place in this run, above 1 is faster.`
    : prose`A software adapter: the GPU's programs run on the CPU. These figures say that the code runs, and nothing
        about any GPU.`;

const ratio = (hardware: boolean, value: number): string => (hardware ? value.toFixed(2) : "correctness only");
