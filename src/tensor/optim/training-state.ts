/** Checkpoints of a training run: weights, both Adam moments and the step, as one safetensors file. */
import { EarlyExitError } from "../../errors.js";
import { requireFiniteWeights } from "./finite-losses.js";
import type { Adamw } from "./optim.js";
import { parseSafetensors } from "../formats/safetensors.js";
import { serializeSafetensors } from "../formats/serialize-safetensors.js";

/** Plain strings; a checkpoint with another description is refused. */
export type RunDescription = Readonly<Record<string, string>>;

/** Throws a NumericsError if a weight is NaN or infinite. */
export async function saveTraining(optimizer: Adamw, description: RunDescription): Promise<Uint8Array> {
  const { step, moments } = await optimizer.state();
  const tensors: Record<string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }> = {};
  for (const [index, parameter] of optimizer.parameters.entries()) {
    const { shape } = parameter;
    const weights = await parameter.read();
    requireFiniteWeights(weights, index);
    tensors[`${index}.weight`] = { dtype: "F32", shape, data: weights };
    tensors[`${index}.m`] = { dtype: "F32", shape, data: moments[index]!.m };
    tensors[`${index}.v`] = { dtype: "F32", shape, data: moments[index]!.v };
  }
  return serializeSafetensors(tensors, { ...description, step: String(step) });
}

/** Restores parameters and optimizer. Throws an EarlyExitError if the checkpoint is another run's. */
export function restoreTraining(
  optimizer: Adamw,
  bytes: Uint8Array,
  { description, steps }: { readonly description: RunDescription; readonly steps: number },
): void {
  const file = parseSafetensors(bytes);
  const { parameters } = optimizer;
  const differing = Object.keys(description).find((key) => file.metadata[key] !== description[key]);
  if (differing !== undefined) {
    throw new EarlyExitError(
      "checkpoint-mismatch",
      `resume: the checkpoint's ${differing} is "${file.metadata[differing] ?? "absent"}", this run's ` +
        `"${description[differing] ?? ""}"; start afresh, or continue the run it was made in`,
      { differing },
    );
  }
  const fits =
    file.names.length === 3 * parameters.length &&
    parameters.every(
      ({ shape }, index) =>
        file.names.includes(`${index}.weight`) && file.info(`${index}.weight`).shape.join() === shape.join(),
    );
  if (!fits) {
    throw new EarlyExitError(
      "checkpoint-mismatch",
      `resume: the checkpoint holds ${file.names.length / 3} parameters of other shapes than this ` +
        `run's ${parameters.length}; start afresh`,
      { parameters: parameters.length },
    );
  }
  const step = stepOf(file.metadata["step"], steps);
  parameters.forEach((parameter, index) => parameter.device.write(parameter.storage, file.float32(`${index}.weight`)));
  optimizer.restore({
    step,
    moments: parameters.map((_, index) => ({ m: file.float32(`${index}.m`), v: file.float32(`${index}.v`) })),
  });
}

/** Steps done, 0..steps. */
function stepOf(text: string | undefined, steps: number): number {
  const step = /^\d{1,15}$/.test(text ?? "") ? Number(text) : NaN;
  if (step <= steps) return step;
  throw new EarlyExitError(
    "checkpoint-damaged",
    `resume: the checkpoint says that ${JSON.stringify(text ?? "nothing")} steps are done; expected 0 to ${steps}, ` +
      "the steps of this run; start afresh",
    { step: text, steps },
  );
}
