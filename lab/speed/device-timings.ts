/**
 * Times the GPU device beside the wasm device, in Node and in pages alike: prefill, decoding, a head's training step. A
 * software adapter runs a GPU's programs on the CPU: with one, the work is small, the samples are few, and the figures
 * say nothing about GPUs.
 */
import type { Device, Model } from "early-exits";
import type { GpuDevice, GpuDeviceInfo } from "../../src/tensor/gpu/gpu-device.js";
import { timeHeadTraining } from "./head-training.js";
import { type InferenceTiming, timeInference } from "./inference.js";
import { benchShapes, randomModel } from "./models.js";
import type { Timing } from "./timing.js";

export interface ModelTiming extends InferenceTiming {
  readonly model: string;
  /** Kernels per token, if the device counts them. */
  readonly dispatches?: number;
}

interface DeviceTimings {
  readonly models: readonly ModelTiming[];
  /** Models that the device could not run, with the reason. */
  readonly refused: readonly { readonly model: string; readonly reason: string }[];
  readonly training: Timing;
}

export interface GpuTimings {
  readonly info: GpuDeviceInfo;
  readonly cpu: DeviceTimings;
  readonly gpu: DeviceTimings;
}

interface Workload {
  readonly models: Readonly<Record<string, (device: Device) => Promise<Model>>>;
  /** Passes over the prompt and the tokens after it. */
  readonly rounds: number;
  readonly head: { readonly inputs: number; readonly vocabulary: number };
  /** Samples of a training step. */
  readonly steps: number;
}

/** Times both devices and disposes neither; `small` loads the model for a software adapter. */
export async function timeGpu(
  gpu: GpuDevice,
  cpu: Device,
  small: (device: Device) => Promise<Model>,
): Promise<GpuTimings> {
  const workload: Workload = gpu.info.hardware
    ? {
        models: Object.fromEntries(
          Object.entries(benchShapes).map(([name, config]) => [
            `${name}, random weights`,
            (device: Device) => randomModel(config, device),
          ]),
        ),
        rounds: 5,
        head: { inputs: 512, vocabulary: 8192 },
        steps: 20,
      }
    : { models: { "sotu-6, 0.7M": small }, rounds: 1, head: { inputs: 256, vocabulary: 2048 }, steps: 3 };
  return { info: gpu.info, cpu: await timeDevice(cpu, workload), gpu: await timeDevice(gpu, workload) };
}

async function timeDevice(
  device: Device | GpuDevice,
  { models, rounds, head, steps }: Workload,
): Promise<DeviceTimings> {
  const dispatches = (): number => ("counts" in device ? device.counts().dispatches : NaN);
  const timed: ModelTiming[] = [];
  const refused: { model: string; reason: string }[] = [];
  for (const [name, load] of Object.entries(models)) {
    try {
      const model = await load(device);
      const before = dispatches();
      const timing = await timeInference(model, { value: 0 }, { rounds });
      model.dispose();
      timed.push({
        model: name,
        ...timing,
        ...("counts" in device && { dispatches: Math.round((dispatches() - before) / timing.passes) }),
      });
    } catch (error) {
      refused.push({ model: name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return {
    models: timed,
    refused,
    training: await timeHeadTraining(device, { ...head, time: 0, iterations: steps, warmup: 2 }),
  };
}
