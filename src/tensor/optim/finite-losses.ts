/**
 * Ends training that has met NaN or infinity (damaged weights, too high a learning rate), with an error that names the
 * part and the weights of the last whole step.
 */
import { NumericsError } from "../../errors.js";

/** For the error. */
export interface LossPlace {
  readonly caller: string;
  readonly nameOf: (part: number) => string;
  readonly step: number;
  readonly steps: number;
}

const REMEDY =
  'look for damaged weights of the model with "early-exits plan --check"; if they are sound, train with a lower ' +
  "learning rate, from the last checkpoint or afresh";

/** Throws a NumericsError that names the first part whose loss is NaN or infinite. */
export function requireFiniteLosses(losses: readonly number[], { caller, nameOf, step, steps }: LossPlace): void {
  const part = losses.findIndex((loss) => !Number.isFinite(loss));
  if (part < 0) return;
  const loss = losses[part]!;
  throw new NumericsError(
    "loss-non-finite",
    `${caller}: the loss of ${nameOf(part)} is ${loss} in step ${step} of ${steps}, which changed nothing; ${REMEDY}`,
    { step, part, loss },
  );
}

export function requireFiniteNorm(norm: number): void {
  if (Number.isFinite(norm)) return;
  throw new NumericsError(
    "gradient-non-finite",
    `Adamw.step: the norm of the gradients is ${norm}, so nothing was changed; ${REMEDY}`,
    { norm },
  );
}

/** Throws a NumericsError if a weight for a checkpoint is NaN or infinite. */
export function requireFiniteWeights(values: Float32Array, index: number): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NumericsError(
    "weights-non-finite",
    `training: weight ${at} of parameter ${index} is ${values[at]!}, so no checkpoint was made of it; ${REMEDY}`,
    { parameter: index, at },
  );
}
