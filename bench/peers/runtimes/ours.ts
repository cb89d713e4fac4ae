/**
 * Peer: this library, through its public API, as a program uses it: `advance` to full depth, `unembed` the last hidden
 * state, argmax on the device. The variants are the weight types of `readModel`. Also the training step of a head, with
 * the ops of `trainHeads`.
 */
import type { Device, WeightDtype } from "early-exits";
import {
  Adamw,
  backward,
  DeviceError,
  klDivergence,
  linear,
  mean,
  parseSafetensors,
  rowStats,
  scope,
  Tensor,
} from "early-exits/tensor";
import { advance, type Model, Sequence } from "early-exits/model";
import { createDevice, readModel } from "early-exits/node";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Job, PeerAbsentError, type PeerSession } from "../peer.js";
import { shape, training } from "../shape.js";

/** Takes any name, so that a build without the device reports its absence instead of failing to compile. */
type CreateDevice = (name: string, options: { readonly threads: number }) => Promise<Device>;

export async function openDevice({ device: name, threads }: Job): Promise<Device> {
  try {
    return await (createDevice as CreateDevice)(name, { threads });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error; // not a missing device, but a defect
    throw new PeerAbsentError("ours", error.message, `device "${name}" with ${threads} threads was asked for`, {
      cause: error,
    });
  }
}

export async function openOurs(job: Job): Promise<PeerSession> {
  const device = await openDevice(job);
  const model = await readModel(job.folder, { device, dtype: job.variant as WeightDtype });
  return sessionOf(model, shape.contextSize);
}

/** A session with a loaded model, which it disposes of. */
export function sessionOf(model: Model, contextSize: number): PeerSession {
  const { numLayers } = model.config;
  let sequence = new Sequence(model, contextSize);

  const run = (ids: readonly number[]): Tensor => {
    sequence.append(...ids);
    advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
    return scope(() => model.unembed(sequence.hidden(sequence.length - 1))); // [1, V]
  };
  const take = async (tensor: Tensor): Promise<Float32Array> => {
    const values = await tensor.read();
    tensor.dispose();
    return values;
  };

  return {
    info: model.device.info.description,
    reset() {
      sequence.dispose();
      sequence = new Sequence(model, contextSize);
      return Promise.resolve();
    },
    async advance(ids) {
      const stats = scope(() => rowStats(run(ids)));
      return (await take(stats))[0]!;
    },
    logits: (ids) => take(run(ids)),
    close() {
      model.dispose();
      return Promise.resolve();
    },
  };
}

/** One head's training step; resolves to the loss. */
export async function openOurTraining(job: Job): Promise<{ info: string; step: () => Promise<number> }> {
  const device = await openDevice(job);
  const file = parseSafetensors(await readFile(join(job.folder, "head.safetensors")));
  const tensor = (name: string, requiresGrad = false): Tensor =>
    Tensor.from(device, file.float32(name), file.info(name).shape, { requiresGrad });
  const states = tensor("states");
  const teacher = tensor("teacher");
  const head = tensor("head", true); // [B, C], [B, V], [V, C]
  const { beta1, beta2, epsilon, learningRate } = training;
  const optimizer = new Adamw([head], { beta1, beta2, epsilon, weightDecay: 0 });
  return {
    info: device.info.description,
    async step() {
      const loss = scope(() => {
        const value = mean(klDivergence(teacher, linear(states, head)));
        backward(value);
        return value;
      });
      await optimizer.step(learningRate);
      const [value] = await loss.read();
      loss.dispose();
      return value!;
    },
  };
}
