/**
 * Times prefill and decoding through the public primitives that a program uses: `advance`, `unembed`, and reading the
 * argmax back. Also counts the bytes of weights that a decoded token reads, and finds the time outside kernels by
 * timing every kernel call of one pass.
 */
import type { Device, Model } from "early-exits";
import { PackedMatrix, rowStats, scope } from "early-exits/tensor";
import { advance, Sequence } from "early-exits/model";
import { allWeights } from "../../src/model/index.js";
import { type Timing, timingOf } from "./timing.js";

export const PROMPT = 128;
const DECODED = 48;

export interface InferenceTiming {
  /** One pass over a prompt of PROMPT tokens. */
  readonly prefill: Timing;
  /** One token after the prompt, with a growing cache. */
  readonly decode: Timing;
  /** Share of a decoded token's time spent outside kernels. */
  readonly overhead: number;
  /** Bytes of weights that one decoded token reads. */
  readonly weightBytes: number;
  /** Forward passes, including prefill and warm-up. */
  readonly passes: number;
}

/** Times prefill and decode in `rounds` alternating passes. */
export async function timeInference(
  model: Model,
  kernelTime: { value: number },
  { rounds = 5 } = {},
): Promise<InferenceTiming> {
  const prompt = Array.from({ length: PROMPT }, (_, i) => (i * 7919 + 13) % model.config.vocabSize);
  const prefills: number[] = [];
  const decodes: number[] = [];
  let inKernels = 0;
  let inDecode = 0;
  // Round -1 warms up.
  for (let round = -1; round < rounds; round++) {
    const sequence = new Sequence(model, PROMPT + DECODED);
    const started = performance.now();
    sequence.append(...prompt);
    let id = await nextId(model, sequence);
    if (round >= 0) prefills.push(performance.now() - started);
    for (let i = 0; i < DECODED; i++) {
      const from = performance.now();
      const kernelsFrom = kernelTime.value;
      sequence.append(id);
      id = await nextId(model, sequence);
      if (round < 0) continue;
      decodes.push(performance.now() - from);
      inDecode += performance.now() - from;
      inKernels += kernelTime.value - kernelsFrom;
    }
    sequence.dispose();
  }
  return {
    prefill: timingOf(prefills),
    decode: timingOf(decodes),
    overhead: 1 - inKernels / inDecode,
    weightBytes: weightBytesOf(model),
    passes: (rounds + 1) * (1 + DECODED),
  };
}

async function nextId(model: Model, sequence: Sequence): Promise<number> {
  const { numLayers } = model.config;
  advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
  const stats = scope(() => rowStats(model.unembed(sequence.hidden(sequence.length - 1))));
  const [id] = await stats.read();
  stats.dispose();
  return id!;
}

/** Every matrix is read once per token, except an untied embedding, which is read one row at a time. */
function weightBytesOf(model: Model): number {
  const { embedding, unembedding } = model.weights;
  return allWeights(model.weights).reduce((sum, weight) => {
    if (weight === embedding && embedding !== unembedding.weight) return sum;
    return sum + (weight instanceof PackedMatrix ? weight.storage.bytes : 0);
  }, 0);
}

/** A device whose kernels add their time to `kernelTime`. Timing takes time, so use it for the overhead figure only. */
export function instrumented(device: Device, kernelTime: { value: number }): Device {
  const kernels = Object.fromEntries(
    Object.entries(device.kernels).map(([name, kernel]) => [
      name,
      (...args: unknown[]): unknown => {
        const from = performance.now();
        try {
          return (kernel as (...inner: unknown[]) => unknown)(...args);
        } finally {
          kernelTime.value += performance.now() - from;
        }
      },
    ]),
  ) as unknown as Device["kernels"];
  return { ...device, kernels };
}
