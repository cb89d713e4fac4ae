/**
 * One training step of a dense head: 512 -> 8192, KL against a teacher, batch 64, AdamW. The ops are those of
 * `trainHeads`; a step ends when its loss has been read, because a GPU works asynchronously.
 */
import type { Device } from "early-exits";
import { Adamw, backward, createRng, klDivergence, linear, scope, Tensor } from "early-exits/tensor";
import { mean } from "../../src/tensor/ops/reduce.js";
import { measure, type MeasureOptions, type Timing } from "./timing.js";

interface HeadTrainingOptions extends MeasureOptions {
  readonly inputs?: number;
  readonly vocabulary?: number;
  readonly batch?: number;
}

export async function timeHeadTraining(
  device: Device,
  { inputs = 512, vocabulary = 8192, batch = 64, ...sampling }: HeadTrainingOptions = {},
): Promise<Timing> {
  const rng = createRng(1);
  const random = (rows: number, columns: number, width: number, requiresGrad = false): Tensor =>
    Tensor.from(
      device,
      Float32Array.from({ length: rows * columns }, () => width * rng.normal()),
      [rows, columns],
      { requiresGrad },
    );
  const states = random(batch, inputs, 1);
  const teacher = random(batch, vocabulary, 2);
  const head = random(vocabulary, inputs, 1 / Math.sqrt(inputs), true);
  const optimizer = new Adamw([head]);
  const timing = await measure(
    "head training step",
    async () => {
      const loss = scope(() => {
        const value = mean(klDivergence(teacher, linear(states, head)));
        backward(value);
        return value;
      });
      await optimizer.step(1e-4);
      await loss.read();
      loss.dispose();
    },
    { time: 500, iterations: 10, ...sampling },
  );
  optimizer.dispose();
  for (const tensor of [states, teacher, head]) tensor.dispose();
  return timing;
}
