/**
 * The loop of every training run: compute gradients, step AdamW along a learning-rate schedule, report, save.
 *   restore the checkpoint, if there is one
 *   for step = steps done so far, …, steps - 1:
 *     stop if aborted -> gradients(step) -> clip and apply (Adamw) -> onStep -> onCheckpoint
 * A NaN or infinite loss ends the run with the weights of the last whole step. If `gradients` is a function of the step
 * and the weights alone, a restored run continues bit for bit.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { Adamw, type AdamwOptions, REMEDY } from "./optim.js";
import type { Tensor } from "../tensor.js";
import { giveTurn } from "../../turns.js";
import { EarlyExitError, NumericsError } from "../../errors.js";
import { parseSafetensors } from "../formats/safetensors.js";
import { serializeSafetensors } from "../formats/serialize-safetensors.js";

export interface StepProgress {
  /** Steps done, 1..steps. */
  readonly step: number;
  readonly steps: number;
  readonly learningRate: number;
  /** Before clipping; NaN without clipping. */
  readonly gradientNorm: number;
  /** Mean over the steps of this call. */
  readonly tokensPerSecond: number;
  /** Seconds. */
  readonly timeLeft: number;
}

interface StepResult {
  readonly tokens: number;
  /** One per trained part; all must be finite. */
  readonly losses: readonly number[];
}

interface StepsOptions<Result extends StepResult, Event> {
  readonly caller: string;
  /** For errors: "the head at depth 4". */
  readonly nameOf: (part: number) => string;
  readonly parameters: readonly Tensor[];
  readonly adamw: AdamwOptions;
  readonly steps: number;
  /** The learning rate of step 0, 1, … (`cosineSchedule`). */
  readonly schedule: (step: number) => number;
  /** Adds a step's gradients to the parameters; its result goes to `event`. */
  readonly gradients: (step: number) => Promise<Result>;
  readonly event: (progress: StepProgress, result: Result) => Event;
  /** A promise is waited for. */
  readonly onStep?: ((event: Event) => unknown) | undefined;
  /** @default none are saved or restored */
  readonly checkpoints?: CheckpointOptions;
  readonly signal?: CancelSignal | undefined;
  /** Milliseconds. @default performance.now */
  readonly now?: (() => number) | undefined;
}

interface CheckpointOptions {
  /** A checkpoint with another description is refused. */
  readonly description: RunDescription;
  readonly resume: Uint8Array | undefined;
  readonly onCheckpoint: ((checkpoint: Uint8Array, step: number) => void | Promise<void>) | undefined;
  /** Steps between checkpoints, or a test after each. One is saved after the last step in any case. */
  readonly every: number | ((step: number) => boolean);
}

/**
 * Runs the steps that are left. Returns the last event and the tokens read; rejects with the signal's reason, and with
 * a NumericsError if a loss, the gradient or a saved weight is not finite.
 */
export async function runSteps<Result extends StepResult, Event>({
  caller,
  nameOf,
  parameters,
  adamw,
  steps,
  schedule,
  gradients,
  event,
  onStep,
  checkpoints,
  signal,
  now = () => performance.now(),
}: StepsOptions<Result, Event>): Promise<{ readonly last: Event | undefined; readonly tokens: number }> {
  const optimizer = new Adamw(parameters, adamw);
  let last: Event | undefined;
  let tokens = 0;
  let unsaved: StepProgress | undefined;
  try {
    if (checkpoints?.resume !== undefined) {
      restoreTraining(optimizer, checkpoints.resume, { description: checkpoints.description, steps });
    }
    const first = optimizer.steps;
    const started = now();
    for (let step = first; step < steps; step++) {
      await giveTurn(signal);
      const result = await gradients(step);
      const part = result.losses.findIndex((loss) => !Number.isFinite(loss));
      if (part >= 0) {
        const loss = result.losses[part]!;
        throw new NumericsError(
          "loss-non-finite",
          `${caller}: the loss of ${nameOf(part)} is ${loss} in step ${step + 1} of ${steps}, which changed nothing; ` +
            REMEDY,
          { step: step + 1, part, loss },
        );
      }
      const learningRate = schedule(step);
      const gradientNorm = await optimizer.step(learningRate);
      tokens += result.tokens;
      const elapsed = (now() - started) / 1000;
      const progress: StepProgress = {
        step: step + 1,
        steps,
        learningRate,
        gradientNorm,
        tokensPerSecond: tokens / elapsed,
        timeLeft: (elapsed / (step + 1 - first)) * (steps - step - 1),
      };
      last = event(progress, result);
      unsaved = progress;
      await onStep?.(last);
      if (checkpoints !== undefined && (await saveIfDue(optimizer, checkpoints, progress))) unsaved = undefined;
    }
  } catch (error) {
    // The signal may arrive in any turn of the event loop; weights are those of the last whole step.
    const aborted = signal?.aborted === true;
    if (aborted && checkpoints !== undefined && unsaved !== undefined) {
      await saveIfDue(optimizer, checkpoints, unsaved);
    }
    throw error;
  } finally {
    for (const parameter of parameters) {
      parameter.grad?.dispose(); // after a failed step
      parameter.grad = undefined;
    }
    optimizer.dispose();
  }
  return { last, tokens };
}

async function saveIfDue(
  optimizer: Adamw,
  { description, onCheckpoint, every }: CheckpointOptions,
  { step, steps }: StepProgress,
): Promise<boolean> {
  const due = typeof every === "number" ? step % every === 0 : every(step);
  if (onCheckpoint === undefined || !(due || step === steps)) return false;
  await onCheckpoint(await saveTraining(optimizer, description), step);
  return true;
}

/** Plain strings; a checkpoint with another description is refused. */
type RunDescription = Readonly<Record<string, string>>;

/** Throws a NumericsError if a weight is NaN or infinite. */
async function saveTraining(optimizer: Adamw, description: RunDescription): Promise<Uint8Array> {
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

/**
 * Restores parameters and optimizer. Throws an EarlyExitError if the checkpoint is another run's, or damaged, and then
 * changes nothing.
 */
function restoreTraining(
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
        `"${description[differing] ?? ""}"; start afresh, or continue that run`,
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
      `resume: the checkpoint has ${file.names.length / 3} parameters of other shapes than this run's ` +
        `${parameters.length}; start afresh`,
      { parameters: parameters.length },
    );
  }
  const step = stepOf(file.metadata["step"], steps);
  const weights = parameters.map((_, index) => file.float32(`${index}.weight`));
  weights.forEach(requireFiniteWeights);
  optimizer.restore({
    step,
    moments: parameters.map((_, index) => ({ m: file.float32(`${index}.m`), v: file.float32(`${index}.v`) })),
  });
  parameters.forEach(({ device, storage }, index) => device.write(storage, weights[index]!));
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

/** Throws a NumericsError if a weight for a checkpoint is NaN or infinite. */
function requireFiniteWeights(values: Float32Array, index: number): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NumericsError(
    "weights-non-finite",
    `training: weight ${at} of parameter ${index} is ${values[at]!}, which no checkpoint keeps; ${REMEDY}`,
    { parameter: index, at },
  );
}
